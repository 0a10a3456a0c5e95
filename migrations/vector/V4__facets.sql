-- Which facts the incidents of a pattern have, as bits (domain/facets.rs): a pattern without the bits of a filter has no incident that
-- fits. Bits are never taken back. Of the patterns from before nothing is known: they have all of them.
ALTER TABLE embedding_pattern_words
    ADD COLUMN facets bit(512) NOT NULL DEFAULT ~(0::bit(512)),
    SET (fillfactor = 80);
