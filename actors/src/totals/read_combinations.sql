-- totals.read_combinations
SELECT c.id, {counted|c.@} FROM count_combinations AS c WHERE c.id > $1
