-- totals.last_combination
SELECT COALESCE(max(c.id), 0) FROM count_combinations AS c
