//! `pg_type`: the base types that drivers and tools look up, with PostgreSQL's oids.

use std::sync::LazyLock;

use crate::catalog::system::{Context, OWNER_OID, PG_CATALOG_OID, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_type",
    oid: 1247,
    columns: "oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char, \
              typcategory char, typispreferred bool, typisdefined bool, typdelim char, typrelid oid, \
              typsubscript regproc, typelem oid, typarray oid, typinput regproc, typoutput regproc, \
              typreceive regproc, typsend regproc, typmodin regproc, typmodout regproc, typanalyze regproc, \
              typalign char, typstorage char, typnotnull bool, typbasetype oid, typtypmod int4, typndims int4, \
              typcollation oid, typdefaultbin text, typdefault text, typacl text[]",
    source: Source::Catalog(rows),
};

/// One type, as `pg_type` lists it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are pg_type's columns, without `typ`")]
pub struct Type {
    pub oid: u32,
    pub name: &'static str,
    pub len: i16,
    pub byval: bool,
    pub category: &'static str,
    pub elem: u32,
    pub array: u32,
    pub align: &'static str,
    pub storage: &'static str,
    pub collation: u32,
    fields: [&'static str; 20],
}

impl Type {
    /// Whether its values are arrays; record[] is one, but of the category of pseudo-types.
    pub fn is_array(&self) -> bool {
        self.elem != 0 && self.len == -1
    }
}

/// By ascending oid.
pub static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| LIST.lines().filter_map(parse).collect());

/// A type by its oid.
pub fn by_oid(oid: u32) -> Option<&'static Type> {
    TYPES.binary_search_by_key(&oid, |t| t.oid).ok().map(|i| &TYPES[i])
}

/// A type by its `typname`, or by what SQL calls it.
pub fn by_name(name: &str) -> Option<&'static Type> {
    let name = name.trim().trim_start_matches("pg_catalog.").trim_matches('"').to_ascii_lowercase();
    if let Some(element) = name.strip_suffix("[]") {
        return by_name(element).and_then(|t| by_oid(t.array));
    }
    let name = match name.split('(').next().unwrap_or(&name).trim() {
        "boolean" => "bool",
        "bigint" => "int8",
        "integer" | "int" => "int4",
        "smallint" => "int2",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" => "bpchar",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        other => other,
    };
    TYPES.iter().find(|t| t.name == name)
}

/// Bits of a record's modifier that say which column it is of.
const COLUMN_BITS: u32 = 11;

/// The modifier of a column of records: it says which row type they are of, as PostgreSQL's does; -1 where it has no room.
pub fn row_type(relation: u32, column: usize) -> i32 {
    let fits = column < 1 << COLUMN_BITS && relation < 1 << (31 - COLUMN_BITS);
    if fits { ((relation << COLUMN_BITS) | column as u32) as i32 } else { -1 }
}

/// The column that a record's modifier means: its relation, and its place from 0.
pub fn row_type_of(typmod: i32) -> Option<(u32, usize)> {
    let typmod = u32::try_from(typmod).ok()?;
    Some((typmod >> COLUMN_BITS, (typmod & ((1 << COLUMN_BITS) - 1)) as usize))
}

/// What SQL calls a type with its modifier: `format_type`.
pub fn format(oid: u32, typmod: Option<i32>) -> String {
    let Some(found) = by_oid(oid) else { return "???".to_owned() };
    if found.is_array() && !found.name.ends_with("vector") {
        return format!("{}[]", format(found.elem, typmod));
    }
    let modifier = typmod.filter(|m| *m > 4).map(|m| m - 4);
    let length = |name: &str| modifier.map_or(name.to_owned(), |n| format!("{name}({n})"));
    match found.name {
        "bool" => "boolean".into(),
        "char" => "\"char\"".into(),
        "int8" => "bigint".into(),
        "int4" => "integer".into(),
        "int2" => "smallint".into(),
        "float4" => "real".into(),
        "float8" => "double precision".into(),
        "varchar" => length("character varying"),
        "bpchar" => length("character"),
        "timestamp" => "timestamp without time zone".into(),
        "timestamptz" => "timestamp with time zone".into(),
        "time" => "time without time zone".into(),
        "timetz" => "time with time zone".into(),
        "numeric" => modifier.map_or("numeric".into(), |m| format!("numeric({},{})", m >> 16, m & 0xffff)),
        "any" => "\"any\"".into(),
        other => other.to_owned(),
    }
}

fn parse(line: &'static str) -> Option<Type> {
    let mut fields = [""; 20];
    let mut words = line.split_ascii_whitespace();
    for field in &mut fields {
        *field = words.next()?;
    }
    Some(Type {
        oid: fields[0].parse().ok()?,
        name: fields[1],
        len: fields[2].parse().ok()?,
        byval: fields[3] == "t",
        category: fields[5],
        elem: fields[8].parse().ok()?,
        array: fields[9].parse().ok()?,
        align: fields[16],
        storage: fields[17],
        collation: fields[18].parse().ok()?,
        fields,
    })
}

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for t in TYPES.iter() {
        let f = &t.fields;
        rows.push([
            ("oid", t.oid.into()),
            ("typname", t.name.into()),
            ("typnamespace", PG_CATALOG_OID.into()),
            ("typowner", OWNER_OID.into()),
            ("typlen", t.len.into()),
            ("typbyval", t.byval.into()),
            ("typtype", f[4].into()),
            ("typcategory", t.category.into()),
            ("typispreferred", (f[6] == "t").into()),
            ("typisdefined", true.into()),
            ("typdelim", f[7].into()),
            ("typsubscript", f[19].into()),
            ("typelem", t.elem.into()),
            ("typarray", t.array.into()),
            ("typinput", f[10].into()),
            ("typoutput", f[11].into()),
            ("typreceive", f[12].into()),
            ("typsend", f[13].into()),
            ("typmodin", f[14].into()),
            ("typmodout", f[15].into()),
            ("typanalyze", "-".into()),
            ("typalign", t.align.into()),
            ("typstorage", t.storage.into()),
            ("typtypmod", (-1_i32).into()),
            ("typcollation", t.collation.into()),
        ]);
    }
}

/// oid, typname, typlen, typbyval, typtype, typcategory, typispreferred, typdelim, typelem, typarray, typinput, typoutput,
/// typreceive, typsend, typmodin, typmodout, typalign, typstorage, typcollation, typsubscript.
const LIST: &str = "\
16 bool 1 t b B t , 0 1000 boolin boolout boolrecv boolsend - - c p 0 -
17 bytea -1 f b U f , 0 1001 byteain byteaout bytearecv byteasend - - i x 0 -
18 char 1 t b Z f , 0 1002 charin charout charrecv charsend - - c p 0 -
19 name 64 f b S f , 18 1003 namein nameout namerecv namesend - - c p 950 raw_array_subscript_handler
20 int8 8 t b N f , 0 1016 int8in int8out int8recv int8send - - d p 0 -
21 int2 2 t b N f , 0 1005 int2in int2out int2recv int2send - - s p 0 -
22 int2vector -1 f b A f , 21 1006 int2vectorin int2vectorout int2vectorrecv int2vectorsend - - i p 0 array_subscript_handler
23 int4 4 t b N f , 0 1007 int4in int4out int4recv int4send - - i p 0 -
24 regproc 4 t b N f , 0 1008 regprocin regprocout regprocrecv regprocsend - - i p 0 -
25 text -1 f b S t , 0 1009 textin textout textrecv textsend - - i x 100 -
26 oid 4 t b N t , 0 1028 oidin oidout oidrecv oidsend - - i p 0 -
27 tid 6 f b U f , 0 1010 tidin tidout tidrecv tidsend - - s p 0 -
28 xid 4 t b U f , 0 1011 xidin xidout xidrecv xidsend - - i p 0 -
29 cid 4 t b U f , 0 1012 cidin cidout cidrecv cidsend - - i p 0 -
30 oidvector -1 f b A f , 26 1013 oidvectorin oidvectorout oidvectorrecv oidvectorsend - - i p 0 array_subscript_handler
114 json -1 f b U f , 0 199 json_in json_out json_recv json_send - - i x 0 -
142 xml -1 f b U f , 0 143 xml_in xml_out xml_recv xml_send - - i x 0 -
194 pg_node_tree -1 f b Z f , 0 0 pg_node_tree_in pg_node_tree_out pg_node_tree_recv pg_node_tree_send - - i x 100 -
199 _json -1 f b A f , 114 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
650 cidr -1 f b I f , 0 651 cidr_in cidr_out cidr_recv cidr_send - - i m 0 -
700 float4 4 t b N f , 0 1021 float4in float4out float4recv float4send - - i p 0 -
701 float8 8 t b N t , 0 1022 float8in float8out float8recv float8send - - d p 0 -
705 unknown -2 f p X f , 0 0 unknownin unknownout unknownrecv unknownsend - - c p 0 -
790 money 8 t b N f , 0 791 cash_in cash_out cash_recv cash_send - - d p 0 -
829 macaddr 6 f b U f , 0 1040 macaddr_in macaddr_out macaddr_recv macaddr_send - - i p 0 -
869 inet -1 f b I t , 0 1041 inet_in inet_out inet_recv inet_send - - i m 0 -
1000 _bool -1 f b A f , 16 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1001 _bytea -1 f b A f , 17 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1002 _char -1 f b A f , 18 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1003 _name -1 f b A f , 19 0 array_in array_out array_recv array_send - - i x 950 array_subscript_handler
1005 _int2 -1 f b A f , 21 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1006 _int2vector -1 f b A f , 22 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1007 _int4 -1 f b A f , 23 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1008 _regproc -1 f b A f , 24 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1009 _text -1 f b A f , 25 0 array_in array_out array_recv array_send - - i x 100 array_subscript_handler
1010 _tid -1 f b A f , 27 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1011 _xid -1 f b A f , 28 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1013 _oidvector -1 f b A f , 30 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1014 _bpchar -1 f b A f , 1042 0 array_in array_out array_recv array_send bpchartypmodin bpchartypmodout i x 100 array_subscript_handler
1015 _varchar -1 f b A f , 1043 0 array_in array_out array_recv array_send varchartypmodin varchartypmodout i x 100 array_subscript_handler
1016 _int8 -1 f b A f , 20 0 array_in array_out array_recv array_send - - d x 0 array_subscript_handler
1021 _float4 -1 f b A f , 700 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1022 _float8 -1 f b A f , 701 0 array_in array_out array_recv array_send - - d x 0 array_subscript_handler
1028 _oid -1 f b A f , 26 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1033 aclitem 12 f b U f , 0 1034 aclitemin aclitemout - - - - i p 0 -
1034 _aclitem -1 f b A f , 1033 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1041 _inet -1 f b A f , 869 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1042 bpchar -1 f b S f , 0 1014 bpcharin bpcharout bpcharrecv bpcharsend bpchartypmodin bpchartypmodout i x 100 -
1043 varchar -1 f b S f , 0 1015 varcharin varcharout varcharrecv varcharsend varchartypmodin varchartypmodout i x 100 -
1082 date 4 t b D f , 0 1182 date_in date_out date_recv date_send - - i p 0 -
1083 time 8 t b D f , 0 1183 time_in time_out time_recv time_send timetypmodin timetypmodout d p 0 -
1114 timestamp 8 t b D f , 0 1115 timestamp_in timestamp_out timestamp_recv timestamp_send timestamptypmodin timestamptypmodout d p 0 -
1115 _timestamp -1 f b A f , 1114 0 array_in array_out array_recv array_send timestamptypmodin timestamptypmodout d x 0 array_subscript_handler
1182 _date -1 f b A f , 1082 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1183 _time -1 f b A f , 1083 0 array_in array_out array_recv array_send timetypmodin timetypmodout d x 0 array_subscript_handler
1184 timestamptz 8 t b D t , 0 1185 timestamptz_in timestamptz_out timestamptz_recv timestamptz_send timestamptztypmodin timestamptztypmodout d p 0 -
1185 _timestamptz -1 f b A f , 1184 0 array_in array_out array_recv array_send timestamptztypmodin timestamptztypmodout d x 0 array_subscript_handler
1186 interval 16 f b T t , 0 1187 interval_in interval_out interval_recv interval_send intervaltypmodin intervaltypmodout d p 0 -
1187 _interval -1 f b A f , 1186 0 array_in array_out array_recv array_send intervaltypmodin intervaltypmodout d x 0 array_subscript_handler
1231 _numeric -1 f b A f , 1700 0 array_in array_out array_recv array_send numerictypmodin numerictypmodout i x 0 array_subscript_handler
1263 _cstring -1 f b A f , 2275 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
1266 timetz 12 f b D f , 0 1270 timetz_in timetz_out timetz_recv timetz_send timetztypmodin timetztypmodout d p 0 -
1270 _timetz -1 f b A f , 1266 0 array_in array_out array_recv array_send timetztypmodin timetztypmodout d x 0 array_subscript_handler
1560 bit -1 f b V f , 0 1561 bit_in bit_out bit_recv bit_send bittypmodin bittypmodout i x 0 -
1562 varbit -1 f b V t , 0 1563 varbit_in varbit_out varbit_recv varbit_send varbittypmodin varbittypmodout i x 0 -
1700 numeric -1 f b N f , 0 1231 numeric_in numeric_out numeric_recv numeric_send numerictypmodin numerictypmodout i m 0 -
1790 refcursor -1 f b U f , 0 2201 textin textout textrecv textsend - - i x 0 -
2202 regprocedure 4 t b N f , 0 2207 regprocedurein regprocedureout regprocedurerecv regproceduresend - - i p 0 -
2203 regoper 4 t b N f , 0 2208 regoperin regoperout regoperrecv regopersend - - i p 0 -
2205 regclass 4 t b N f , 0 2210 regclassin regclassout regclassrecv regclasssend - - i p 0 -
2206 regtype 4 t b N f , 0 2211 regtypein regtypeout regtyperecv regtypesend - - i p 0 -
2210 _regclass -1 f b A f , 2205 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
2211 _regtype -1 f b A f , 2206 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
2249 record -1 f p P f , 0 2287 record_in record_out record_recv record_send - - d x 0 -
2275 cstring -2 f p P f , 0 1263 cstring_in cstring_out cstring_recv cstring_send - - c p 0 -
2276 any 4 t p P f , 0 0 any_in any_out - - - - i p 0 -
2277 anyarray -1 f p P f , 0 0 anyarray_in anyarray_out anyarray_recv anyarray_send - - d x 0 -
2278 void 4 t p P f , 0 0 void_in void_out void_recv void_send - - i p 0 -
2279 trigger 4 t p P f , 0 0 trigger_in trigger_out - - - - i p 0 -
2283 anyelement 4 t p P f , 0 0 anyelement_in anyelement_out - - - - i p 0 -
2287 _record -1 f p P f , 2249 0 array_in array_out array_recv array_send - - d x 0 array_subscript_handler
2950 uuid 16 f b U f , 0 2951 uuid_in uuid_out uuid_recv uuid_send - - c p 0 -
2951 _uuid -1 f b A f , 2950 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
3220 pg_lsn 8 t b U f , 0 3221 pg_lsn_in pg_lsn_out pg_lsn_recv pg_lsn_send - - d p 0 -
3802 jsonb -1 f b U f , 0 3807 jsonb_in jsonb_out jsonb_recv jsonb_send - - i x 0 jsonb_subscript_handler
3807 _jsonb -1 f b A f , 3802 0 array_in array_out array_recv array_send - - i x 0 array_subscript_handler
4089 regnamespace 4 t b N f , 0 4090 regnamespacein regnamespaceout regnamespacerecv regnamespacesend - - i p 0 -
4096 regrole 4 t b N f , 0 4097 regrolein regroleout regrolerecv regrolesend - - i p 0 -";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_oids_agree() {
        assert_eq!(TYPES.len(), LIST.lines().count());
        assert_eq!(format(1043, Some(14)), "character varying(10)");
        assert_eq!(format(1231, None), "numeric[]");
        assert_eq!(format(2287, None), "record[]");
        assert_eq!(row_type_of(row_type(16384, 3)), Some((16384, 3)));
        assert_eq!(row_type(u32::MAX, 0), -1);
        assert_eq!(by_name("integer[]").map(|t| t.oid), Some(1007));
        assert_eq!(by_name("numeric(10,2)").map(|t| t.oid), Some(1700));
    }
}
