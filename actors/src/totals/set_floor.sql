-- totals.set_floor
UPDATE count_state SET generation = generation + 1, floor = $1::text::xid8 WHERE bucket = 0
