-- The streaming word count, in three statements. Start the server with `highwater serve --in-memory`, run the first two in
-- psql, and then, in another terminal, type lines of text into `nc 127.0.0.1 9999` (or pipe a file into it).

CREATE SOURCE lines WITH (connector = 'socket', listen = '127.0.0.1:9999') FORMAT PLAIN ENCODE TEXT;

CREATE MATERIALIZED VIEW word_counts AS
SELECT word, count(*) AS n
FROM (SELECT unnest(string_to_array(lower(line), ' ')) AS word FROM lines) AS words
GROUP BY word;

-- What to look at: each line that you type changes the counts, once and at once; several nc may send at the same time.
-- `COPY (SUBSCRIBE word_counts) TO STDOUT` shows each change as it happens: -1 the old count, +1 the new one.
SELECT * FROM word_counts ORDER BY n DESC, word LIMIT 10;
