-- The running example of `highwater demo`: bids at an auction house, 500 events a second, generated.
-- One event in fifty carries a time that lies up to 15 seconds back.

CREATE SOURCE bids (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel TEXT,
    date_time TIMESTAMP,
    WATERMARK FOR date_time AS date_time - INTERVAL '2' SECOND
) WITH (connector = 'nexmark', stream = 'bid', rate = '500', late_share = '0.02', late_by = '15 seconds');

-- Takes the bids that come too late for every window.
CREATE TABLE too_late (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, date_time TIMESTAMP);

-- Each window's rows appear once, when it closes; a late bid corrects them for another 10 seconds.
CREATE MATERIALIZED VIEW sales_10s AS
SELECT window_start, channel, count(*) AS bids, max(price) AS best, sum(price) AS volume
FROM TUMBLE(bids, date_time, INTERVAL '10' SECOND)
WHERE channel IN ('Apple', 'Google', 'Facebook', 'Baidu')
GROUP BY window_start, channel
EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '10' SECOND LATE ROWS INTO too_late;

-- Half a minute, every 5 seconds, right at any moment.
CREATE MATERIALIZED VIEW hot_auctions AS
SELECT window_start, window_end, auction, count(*) AS bids
FROM HOP(bids, date_time, INTERVAL '5' SECOND, INTERVAL '30' SECOND)
GROUP BY window_start, window_end, auction
ALLOW LATENESS INTERVAL '15' SECOND;
