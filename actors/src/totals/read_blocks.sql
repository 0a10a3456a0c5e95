-- totals.read_blocks
SELECT b.hour, b.entries FROM count_blocks AS b WHERE b.generation > $1
