-- Fails, by a division by zero, when the table has not what the cleaning kept.
SELECT count(*) AS loaded, 1 / (count(*) = :wanted)::int AS complete FROM orders WHERE day = :day;
