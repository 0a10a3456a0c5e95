-- pg_writer.list_nodes
SELECT n.nodename AS host, n.nodeport AS port
FROM pg_catalog.pg_dist_node AS n
WHERE n.noderole = 'primary' AND n.isactive AND n.shouldhaveshards
ORDER BY n.nodename, n.nodeport
