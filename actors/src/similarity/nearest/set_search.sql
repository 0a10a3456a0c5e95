-- nearest.set_search
SET LOCAL hnsw.ef_search = {ef_search};
SET LOCAL hnsw.iterative_scan = strict_order;
SET LOCAL hnsw.max_scan_tuples = 100000;
