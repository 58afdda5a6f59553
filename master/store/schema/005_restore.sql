-- An older store that a person brought back (reeve-master --accept-restore): how often, up to which run its numbers
-- may have been given twice, and whether what the fleet held then is still waited out.

ALTER TABLE meta ADD COLUMN restores INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN restored_order INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN restoring INTEGER NOT NULL DEFAULT 0;
