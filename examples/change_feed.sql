-- A view's changes as they happen: psql postgres://127.0.0.1:7432/highwater -f examples/change_feed.sql
-- hw_epoch: the moment of a change; hw_diff: +1 a row comes, -1 a row goes.

CREATE TABLE orders (id BIGINT PRIMARY KEY, customer TEXT, amount NUMERIC(10, 2));

CREATE MATERIALIZED VIEW revenue AS
SELECT customer, count(*) AS orders, sum(amount) AS amount
FROM orders
GROUP BY customer;

INSERT INTO orders VALUES (1, 'ann', 10.00), (2, 'bob', 5.50);

-- In a terminal of its own this shows rows as they come, until Ctrl-C:
--     psql postgres://127.0.0.1:7432/highwater -c 'COPY (SUBSCRIBE revenue) TO STDOUT'
-- A cursor asks for them when it likes. The view as it is comes first, then each change.
BEGIN;
DECLARE changes CURSOR FOR SUBSCRIBE revenue;
FETCH 2 FROM changes;
COMMIT;

-- WITH HOLD is what drivers need between transactions; the feed goes on where it was.
DECLARE feed CURSOR WITH HOLD FOR SUBSCRIBE revenue WITH (SNAPSHOT false);

-- One transaction, one epoch: ann's row goes and comes with its new sum, bob's row goes.
BEGIN;
INSERT INTO orders VALUES (3, 'ann', 2.50);
DELETE FROM orders WHERE id = 2;
COMMIT;
FETCH 3 FROM feed;

-- Nothing more for now: a FETCH waits for rows, so bound the wait.
FETCH 1 FROM feed WITH (timeout = '100ms');
CLOSE feed;

DROP TABLE orders CASCADE;
