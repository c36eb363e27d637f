-- Bids at the auction house of the Nexmark benchmark, generated from a seed: the same on every machine.

CREATE SOURCE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, date_time TIMESTAMP,
                   WATERMARK FOR date_time AS date_time - INTERVAL '2' SECOND)
WITH (connector = 'nexmark', stream = 'bid', events = '50000', seed = '1', late_share = '0.02', late_by = '5 seconds');

-- What to look at: of 50 events 46 are bids, and every one of them is in some window, late ones too.
CREATE MATERIALIZED VIEW per_channel AS
SELECT channel, count(*) AS bids, max(price) AS highest FROM bid GROUP BY channel;

-- What to look at: a window appears once, when it is over; what came too late for it is counted, and kept.
CREATE MATERIALIZED VIEW per_second AS
SELECT window_end, count(*) AS bids, sum(price) AS volume
FROM TUMBLE(bid, date_time, INTERVAL '1' SECOND) GROUP BY window_end
EMIT ON WINDOW CLOSE;

-- The auctions with the most bids of the last 10 seconds, every 2 seconds.
CREATE MATERIALIZED VIEW hot AS
SELECT window_end, auction, count(*) AS bids
FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY window_end, auction;

FLUSH;

SELECT sum(bids) AS all_bids FROM per_channel;
-- What is in the windows, and what came too late for them, is all there was.
SELECT (SELECT sum(bids) FROM per_second) + (SELECT late_rejected FROM highwater.views WHERE name = 'per_second') AS all_bids;
-- A view is its query run once: here over the source, read as batch.
SELECT count(*) AS differences FROM (
  SELECT channel, bids, highest FROM per_channel
  EXCEPT SELECT channel, count(*), max(price) FROM bid GROUP BY channel) AS d;
SELECT * FROM hot ORDER BY bids DESC, window_end, auction LIMIT 5;
