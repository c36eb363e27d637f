-- A five-minute tour: psql postgres://127.0.0.1:7432/highwater -f examples/quickstart.sql
-- Auctions and bids; late bids correct closed windows, and those that come too late are kept aside.

-- A table whose event time is bid_time. A row may come up to 5 seconds after later ones and is still on time.
CREATE TABLE bids (
    auction BIGINT,
    price BIGINT,
    bid_time TIMESTAMP,
    WATERMARK FOR bid_time AS bid_time - INTERVAL '5' SECOND
);

-- Right at any moment: each change of the table changes the view.
CREATE MATERIALIZED VIEW auctions AS
SELECT auction, count(*) AS bids, max(price) AS best
FROM bids
GROUP BY auction;

-- A row per window once it has closed, that is when the watermark has passed its end. Late bids correct it for another
-- 10 seconds; then it is final, and what comes later is turned away.
CREATE MATERIALIZED VIEW volume AS
SELECT window_start, window_end, count(*) AS bids, sum(price) AS volume
FROM TUMBLE(bids, bid_time, INTERVAL '10' SECOND)
GROUP BY window_start, window_end
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '10' SECOND;

INSERT INTO bids VALUES
    (1, 100, '2026-01-01 12:00:01'),
    (1, 150, '2026-01-01 12:00:04'),
    (2, 80, '2026-01-01 12:00:07');

-- The watermark is 12:00:02: no window has closed.
SELECT * FROM auctions ORDER BY auction;
SELECT * FROM volume ORDER BY window_start;

-- The watermark becomes 12:00:11: the first window closes, with 330.
INSERT INTO bids VALUES (1, 200, '2026-01-01 12:00:16');
SELECT * FROM volume ORDER BY window_start;

-- A late bid: the closed window is corrected to 630.
INSERT INTO bids VALUES (2, 300, '2026-01-01 12:00:09');
SELECT * FROM volume ORDER BY window_start;

-- So does a bid that is taken back: 550.
DELETE FROM bids WHERE auction = 2 AND price = 80;
SELECT * FROM volume ORDER BY window_start;

-- The watermark becomes 12:00:22: the first window is final, the second closes.
INSERT INTO bids VALUES (1, 210, '2026-01-01 12:00:27');

-- Too late for its window: the view turns it away and says so. The table has it.
INSERT INTO bids VALUES (1, 999, '2026-01-01 12:00:02');
SELECT * FROM volume ORDER BY window_start;
SELECT view, event_time, watermark, row FROM highwater.late_rows;
SELECT name, late_accepted, late_rejected FROM highwater.views WHERE name = 'volume';
SELECT * FROM auctions ORDER BY auction;

-- Two views in one SELECT are views of one moment.
SELECT (SELECT sum(bids) FROM auctions) AS bids_in_auctions, (SELECT count(*) FROM bids) AS bids_in_table;

-- How a view is computed, and what bounds its state.
EXPLAIN MATERIALIZED VIEW volume;

DROP TABLE bids CASCADE;
