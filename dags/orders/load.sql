CREATE TABLE IF NOT EXISTS orders (
    day date NOT NULL,
    id int NOT NULL,
    department text NOT NULL,
    product text NOT NULL,
    amount numeric(10, 2) NOT NULL,
    PRIMARY KEY (day, id)
);

-- A day that is loaded again is loaded anew. The copy that follows gives no day: it is the column's default then.
DELETE FROM orders WHERE day = :day;
ALTER TABLE orders ALTER COLUMN day SET DEFAULT :day;
