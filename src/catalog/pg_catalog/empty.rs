//! Tables of `pg_catalog` that are always empty: what they would list does not exist in Highwater.
//!
//! `tableoid`, in PostgreSQL a column of every table that `*` leaves out, is an ordinary one in those that psql asks for it.

use crate::catalog::system::{Source, SystemTable};

const fn empty(name: &'static str, oid: u32, columns: &'static str) -> SystemTable {
    SystemTable { name, oid, columns, source: Source::Empty }
}

pub(super) static PG_AGGREGATE: SystemTable = empty(
    "pg_aggregate",
    2600,
    "aggfnoid regproc, aggkind char, aggnumdirectargs int2, aggtransfn regproc, aggfinalfn regproc, \
              aggcombinefn regproc, aggserialfn regproc, aggdeserialfn regproc, aggmtransfn regproc, \
              aggminvtransfn regproc, aggmfinalfn regproc, aggfinalextra bool, aggmfinalextra bool, \
              aggfinalmodify char, aggmfinalmodify char, aggsortop oid, aggtranstype oid, aggtransspace int4, \
              aggmtranstype oid, aggmtransspace int4, agginitval text, aggminitval text",
);
pub(super) static PG_AUTH_MEMBERS: SystemTable =
    empty("pg_auth_members", 1261, "roleid oid, member oid, grantor oid, admin_option bool");
pub(super) static PG_CAST: SystemTable =
    empty("pg_cast", 2605, "oid oid, castsource oid, casttarget oid, castfunc oid, castcontext char, castmethod char");
pub(super) static PG_CONVERSION: SystemTable = empty(
    "pg_conversion",
    2607,
    "oid oid, conname name, connamespace oid, conowner oid, conforencoding int4, contoencoding int4, \
              conproc regproc, condefault bool",
);
pub(super) static PG_DB_ROLE_SETTING: SystemTable =
    empty("pg_db_role_setting", 2964, "setdatabase oid, setrole oid, setconfig text[]");
pub(super) static PG_DEFAULT_ACL: SystemTable =
    empty("pg_default_acl", 826, "oid oid, defaclrole oid, defaclnamespace oid, defaclobjtype char, defaclacl text[]");
pub(super) static PG_ENUM: SystemTable =
    empty("pg_enum", 3501, "oid oid, enumtypid oid, enumsortorder float4, enumlabel name");
pub(super) static PG_EVENT_TRIGGER: SystemTable = empty(
    "pg_event_trigger",
    3466,
    "oid oid, evtname name, evtevent name, evtowner oid, evtfoid oid, evtenabled char, evttags text[]",
);
pub(super) static PG_EXTENSION: SystemTable = empty(
    "pg_extension",
    3079,
    "oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text, \
              extconfig oid[], extcondition text[]",
);
pub(super) static PG_FOREIGN_DATA_WRAPPER: SystemTable = empty(
    "pg_foreign_data_wrapper",
    2328,
    "oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwacl text[], \
              fdwoptions text[]",
);
pub(super) static PG_GROUP: SystemTable = empty("pg_group", 12010, "groname name, grosysid oid, grolist oid[]");
pub(super) static PG_INHERITS: SystemTable =
    empty("pg_inherits", 2611, "inhrelid oid, inhparent oid, inhseqno int4, inhdetachpending bool");
pub(super) static PG_INIT_PRIVS: SystemTable =
    empty("pg_init_privs", 3394, "objoid oid, classoid oid, objsubid int4, privtype char, initprivs text[]");
pub(super) static PG_LOCKS: SystemTable = empty(
    "pg_locks",
    12073,
    "locktype text, database oid, relation oid, page int4, tuple int2, virtualxid text, \
              transactionid xid, classid oid, objid oid, objsubid int2, virtualtransaction text, pid int4, \
              mode text, granted bool, fastpath bool, waitstart timestamptz",
);
pub(super) static PG_OPCLASS: SystemTable = empty(
    "pg_opclass",
    2616,
    "oid oid, opcmethod oid, opcname name, opcnamespace oid, opcowner oid, opcfamily oid, opcintype oid, \
              opcdefault bool, opckeytype oid, tableoid oid",
);
pub(super) static PG_OPFAMILY: SystemTable =
    empty("pg_opfamily", 2753, "oid oid, opfmethod oid, opfname name, opfnamespace oid, opfowner oid, tableoid oid");
pub(super) static PG_OPERATOR: SystemTable = empty(
    "pg_operator",
    2617,
    "oid oid, oprname name, oprnamespace oid, oprowner oid, oprkind char, oprcanmerge bool, \
              oprcanhash bool, oprleft oid, oprright oid, oprresult oid, oprcom oid, oprnegate oid, \
              oprcode regproc, oprrest regproc, oprjoin regproc",
);
pub(super) static PG_PARTITIONED_TABLE: SystemTable = empty(
    "pg_partitioned_table",
    3350,
    "partrelid oid, partstrat char, partnatts int2, partdefid oid, partattrs int2vector, \
              partclass oidvector, partcollation oidvector, partexprs text",
);
pub(super) static PG_POLICY: SystemTable = empty(
    "pg_policy",
    3256,
    "oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles oid[], polqual text, \
              polwithcheck text",
);
pub(super) static PG_PUBLICATION: SystemTable = empty(
    "pg_publication",
    6104,
    "oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool, \
              pubdelete bool, pubtruncate bool, pubviaroot bool",
);
pub(super) static PG_PUBLICATION_NAMESPACE: SystemTable =
    empty("pg_publication_namespace", 6237, "oid oid, pnpubid oid, pnnspid oid");
pub(super) static PG_PUBLICATION_REL: SystemTable =
    empty("pg_publication_rel", 6106, "oid oid, prpubid oid, prrelid oid, prqual text, prattrs int2vector");
pub(super) static PG_PUBLICATION_TABLES: SystemTable = empty(
    "pg_publication_tables",
    12068,
    "pubname name, schemaname name, tablename name, attnames name[], rowfilter text",
);
pub(super) static PG_RANGE: SystemTable = empty(
    "pg_range",
    3541,
    "rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid, \
              rngcanonical regproc, rngsubdiff regproc",
);
pub(super) static PG_REWRITE: SystemTable = empty(
    "pg_rewrite",
    2618,
    "oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool, ev_qual text, \
              ev_action text, tableoid oid",
);
pub(super) static PG_RULES: SystemTable =
    empty("pg_rules", 12023, "schemaname name, tablename name, rulename name, definition text");
pub(super) static PG_SECLABEL: SystemTable =
    empty("pg_seclabel", 3596, "objoid oid, classoid oid, objsubid int4, provider text, label text");
pub(super) static PG_SECLABELS: SystemTable = empty(
    "pg_seclabels",
    12099,
    "objoid oid, classoid oid, objsubid int4, objtype text, objnamespace oid, objname text, \
              provider text, label text",
);
pub(super) static PG_SEQUENCE: SystemTable = empty(
    "pg_sequence",
    2224,
    "seqrelid oid, seqtypid oid, seqstart int8, seqincrement int8, seqmax int8, seqmin int8, \
              seqcache int8, seqcycle bool",
);
pub(super) static PG_SEQUENCES: SystemTable = empty(
    "pg_sequences",
    12048,
    "schemaname name, sequencename name, sequenceowner name, data_type oid, start_value int8, \
              min_value int8, max_value int8, increment_by int8, cycle bool, cache_size int8, last_value int8",
);
pub(super) static PG_SHDESCRIPTION: SystemTable =
    empty("pg_shdescription", 2396, "objoid oid, classoid oid, description text");
pub(super) static PG_STATISTIC_EXT: SystemTable = empty(
    "pg_statistic_ext",
    3381,
    "oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxstattarget int4, \
              stxkeys int2vector, stxkind char[], stxexprs text",
);
pub(super) static PG_SUBSCRIPTION: SystemTable = empty(
    "pg_subscription",
    6100,
    "oid oid, subdbid oid, subskiplsn text, subname name, subowner oid, subenabled bool, subbinary bool, \
              substream bool, subtwophasestate char, subdisableonerr bool, subconninfo text, subslotname name, \
              subsynccommit text, subpublications text[]",
);
pub(super) static PG_TRIGGER: SystemTable = empty(
    "pg_trigger",
    2620,
    "oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype int2, tgenabled char, \
              tgisinternal bool, tgconstrrelid oid, tgconstrindid oid, tgconstraint oid, tgdeferrable bool, \
              tginitdeferred bool, tgnargs int2, tgattr int2vector, tgargs text, tgqual text, tgoldtable name, \
              tgnewtable name, tableoid oid",
);
pub(super) static PG_TS_CONFIG: SystemTable =
    empty("pg_ts_config", 3602, "oid oid, cfgname name, cfgnamespace oid, cfgowner oid, cfgparser oid");
