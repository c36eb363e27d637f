-- A log file that is followed as it grows. Start the server in the repository's folder, run this in psql, and then append
-- to the file: echo '10.0.0.9 - - [01/Jan/2026:10:01:30 +0000] "GET / HTTP/1.1" 500 12' >> examples/log/access.log

CREATE SOURCE log WITH (connector = 'file', path = 'examples/log/access*.log', follow = 'true') FORMAT PLAIN ENCODE TEXT;

CREATE MATERIALIZED VIEW statuses AS
SELECT split_part(line, ' ', 9) AS status, count(*) AS requests, sum(split_part(line, ' ', 10)::BIGINT) AS bytes
FROM log GROUP BY split_part(line, ' ', 9);

-- A view that was created now would read the file from its start, too: all views agree, whenever they were created.
CREATE MATERIALIZED VIEW clients AS
SELECT split_part(line, ' ', 1) AS client, count(*) AS requests FROM log GROUP BY split_part(line, ' ', 1);

FLUSH;

-- What to look at: the line with "-" for its bytes is no number. It is missing in `statuses`, which cannot compute it,
-- counted and kept with the reason; `clients` has it.
SELECT * FROM statuses ORDER BY status;
SELECT * FROM clients ORDER BY requests DESC, client;
SELECT view, sqlstate, message FROM highwater.errors;
SELECT name, status, rows, bad_records FROM highwater.sources;
