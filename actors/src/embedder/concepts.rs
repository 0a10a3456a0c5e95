//! Words that mean about the same to people who operate clusters. Two texts that describe one failure in different
//! words share the concepts of that failure.

use std::collections::HashMap;

/// The concepts of each stem. The name of a concept is the first word of its line. It begins with `=`, which no word
/// has.
pub(super) struct Concepts(HashMap<String, Vec<&'static str>>);

impl Concepts {
    /// Of these lines, with the words stemmed.
    pub fn new(lines: &[&'static str], stem: impl Fn(&str) -> String) -> Self {
        let mut concepts: HashMap<String, Vec<&'static str>> = HashMap::new();
        for line in lines {
            let name = line.split(' ').next().unwrap_or_default();
            for word in line.split(' ').skip(1) {
                let of_word = concepts.entry(stem(word)).or_default();
                if !of_word.contains(&name) {
                    of_word.push(name);
                }
            }
        }
        Concepts(concepts)
    }

    pub fn of(&self, stem: &str) -> &[&'static str] {
        self.0.get(stem).map_or(&[], Vec::as_slice)
    }
}

/// Whether a feature is a concept, and not a word of the text.
pub fn is_concept(term: &str) -> bool {
    term.starts_with('=')
}

/// One concept a line: its name, then its words. `builtin-1` knows no others.
pub(super) const FIRST: &[&str] = &[
    "=memory memory ram oom oomkilled heap rss vram swap",
    "=kill kill terminate evict eviction preempt sigkill abort end cancel expel",
    "=limit limit cap bound maximum max ceiling threshold quota allowance budget watermark constraint",
    "=increase increase raise enlarge bump grow expand expansion extend enhance double larger bigger higher upsize lift boost widen more additional extra add",
    "=decrease decrease reduce lower shrink lessen cut smaller fewer less trim halve downsize minimize",
    "=restart restart reboot recycle bounce relaunch recreate rerun respawn cycle reinitialize kick",
    "=rollback rollback revert undo downgrade previous prior earlier former",
    "=scale scale replica horizontal autoscale hpa autoscaler instance parallel parallelism",
    "=cpu cpu processor core compute millicore",
    "=disk disk volume storage filesystem pvc pv ssd drive mount",
    "=full full exhausted exhaust depleted saturated overflow fill",
    "=slow slow latency delay lag sluggish degraded lengthy slowness behind",
    "=timeout timeout deadline hang hung stuck unresponsive stall freeze frozen wedge",
    "=network network connectivity link packet traffic cni",
    "=dns dns resolver resolve lookup nameserver resolution coredns hostname",
    "=certificate certificate cert tls ssl x509 handshake ca issuer",
    "=expire expire expired expiry renew renewal rotate rotation reissue outdated",
    "=credential credential password secret token auth authentication login key apikey",
    "=permission permission role rbac denied deny forbidden unauthorized privilege access policy",
    "=database database db postgres postgresql mysql sql mongo mongodb mariadb",
    "=query query statement select scan",
    "=index index indexing indices",
    "=lock lock deadlock contention blocked mutex",
    "=replication replication replica standby follower secondary mirror replay",
    "=leader leader primary master election elect quorum",
    "=queue queue backlog pending pile accumulate enqueue pileup",
    "=consumer consumer worker subscriber reader listener",
    "=producer producer publisher sender emitter",
    "=message message event",
    "=broker broker kafka rabbitmq topic partition nats",
    "=cache cache redis memcached memoize",
    "=image image registry pull tag download",
    "=deploy deploy deployment rollout release ship revision",
    "=config config configuration configmap setting misconfigured parameter environment env variable flag option",
    "=node node host machine server vm kubelet worker",
    "=pod pod container workload replicaset",
    "=schedule schedule scheduler scheduling unschedulable placement",
    "=cron cron cronjob job batch periodic nightly",
    "=drain drain cordon taint evacuate uncordon",
    "=move move relocate migrate shift reschedule elsewhere rebalance redistribute spread balance",
    "=delete delete remove removal purge prune clean cleanup drop clear truncate erase wipe evict discard",
    "=fix fix repair patch correct mend remedy restore",
    "=disable disable off deactivate switch toggle suspend pause stop silence",
    "=enable enable activate resume turn",
    "=allow allow permit whitelist allowlist accept admit open",
    "=block block deny reject refuse forbid disallow firewall",
    "=error error exception failure fault fail failing crash panic broken",
    "=loop loop backoff repeatedly again crashloop crashlooping flap flapping",
    "=leak leak unclosed growing creep",
    "=connection connection connect session socket pool pooler pgbouncer",
    "=thread thread goroutine",
    "=file file descriptor ulimit fd inode",
    "=log log logging journal",
    "=backup backup snapshot archive",
    "=restore restore recover recovery",
    "=kernel kernel oskernel sysctl",
    "=clock clock time ntp chrony skew drift",
    "=probe probe readiness liveness healthcheck health check",
    "=ingress ingress gateway nginx loadbalancer lb proxy envoy",
    "=mesh mesh istio sidecar envoy linkerd",
    "=circuit circuit breaker fallback bulkhead isolate",
    "=upstream upstream dependency downstream external provider thirdparty vendor supplier partner",
    "=alternative alternative alternate another different other secondary fallback failover",
    "=redirect redirect reroute route repoint point switch flip failover",
    "=throttle throttle throttling ratelimit rate",
    "=request request call invocation",
    "=compact compact defragment vacuum defrag compaction",
    "=garbage garbage gc collector collection",
    "=zone zone region az availability",
    "=subnet subnet ip address cidr",
    "=namespace namespace tenant team",
    "=unreachable unreachable unavailable down offline dead outage",
    "=missing missing absent lost gone disappear",
    "=spike spike surge burst flood peak storm",
    "=version version tag build",
    "=high high elevated excessive heavy hot busy overload overloaded",
    "=stale stale old outdated obsolete",
    "=write write fsync flush",
    "=lower lower low insufficient short shortage lack",
    "=replace replace replacement swap exchange substitute",
    "=upgrade upgrade update bump newer latest",
    "=install install add deploy introduce",
    "=wait wait pending",
    "=lookback keep retention retain",
    "=capacity capacity room space headroom",
    "=stop stop halt cease",
    "=start start launch begin boot",
    "=size size sizing resize",
    "=metric metric monitoring prometheus scrape",
    "=controlplane apiserver etcd controlplane plane",
    "=gpu gpu cuda nvidia accelerator vram",
    "=schema schema migration column table",
    "=separate separate dedicated isolate own",
    "=longer longer extend lengthen prolong relax",
    "=frequency frequency interval often periodic",
    "=group group batch bulk",
];

/// The concepts that came later.
pub(super) const LATER: &[&str] = &[
    "=kubernetes kubernetes k8s",
    "=sigkill sigkill",
    "=sigterm sigterm",
    "=sigsegv sigsegv segfault segv",
    "=sigabrt sigabrt",
    "=4xx 4xx",
    "=5xx 5xx",
];
