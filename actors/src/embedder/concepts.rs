//! Words that mean about the same to those who operate clusters. Two that tell of one failure in different words share its concepts.

use rust_stemmers::Stemmer;
use std::collections::HashMap;

/// The concepts of each stem. A concept is named by the first word of its line, after a sign that no word has.
pub(super) struct Concepts(HashMap<String, Vec<&'static str>>);

impl Concepts {
    pub fn new(stemmer: &Stemmer) -> Self {
        let mut concepts: HashMap<String, Vec<&'static str>> = HashMap::new();
        for line in LINES {
            let name = line.split(' ').next().unwrap_or_default();
            for word in line.split(' ').skip(1) {
                let of_word = concepts.entry(stemmer.stem(word).into_owned()).or_default();
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

/// Whether a feature is a concept, and no word of the text.
pub fn is_concept(term: &str) -> bool {
    term.starts_with('=')
}

/// The name, then the words.
const LINES: &[&str] = &[
    "=memory memory ram oom oomkilled heap rss",
    "=kill kill terminate evict preempt sigkill",
    "=limit limit cap bound maximum ceiling threshold quota allowance",
    "=increase increase raise enlarge bump grow expand extend enhance double larger bigger higher upsize",
    "=decrease decrease reduce lower shrink lessen cut smaller",
    "=restart restart reboot recycle bounce relaunch recreate rerun respawn",
    "=rollback rollback revert undo downgrade",
    "=scale scale replica horizontal autoscale hpa autoscaler instance",
    "=cpu cpu processor core compute",
    "=disk disk volume storage filesystem pvc ssd drive",
    "=full full exhausted depleted saturated overflow",
    "=slow slow latency delay lag sluggish degraded lengthy",
    "=timeout timeout deadline hang hung stuck unresponsive stall",
    "=network network connectivity link packet traffic",
    "=dns dns resolver lookup nameserver resolution coredns hostname",
    "=certificate certificate cert tls ssl x509 handshake",
    "=expire expire expired renew renewal rotate rotation reissue",
    "=credential credential password secret token auth authentication login",
    "=permission permission role rbac denied forbidden unauthorized privilege access policy",
    "=database database db postgres postgresql mysql sql",
    "=query query statement select scan",
    "=index index indexing",
    "=lock lock deadlock contention blocked",
    "=replication replication replica standby follower secondary mirror",
    "=leader leader primary master election",
    "=queue queue backlog pending pile accumulate enqueue",
    "=consumer consumer worker subscriber",
    "=broker broker kafka rabbitmq topic partition",
    "=cache cache redis memcached memoize",
    "=image image registry pull tag",
    "=deploy deploy deployment rollout release ship",
    "=config config configuration configmap setting misconfigured parameter environment",
    "=node node host machine server vm worker",
    "=pod pod container workload",
    "=schedule schedule scheduler cron scheduled periodic nightly",
    "=drain drain cordon taint",
    "=delete delete remove purge prune clean cleanup drop clear truncate",
    "=fix fix repair patch correct mend remedy resolve",
    "=disable disable off deactivate switch toggle",
    "=enable enable on activate",
    "=error error exception failure fault fail crash panic",
    "=loop loop backoff repeatedly again",
    "=leak leak unclosed growing creep",
    "=connection connection session socket pool",
    "=thread thread goroutine",
    "=file file descriptor ulimit fd",
    "=log log logging journal",
    "=backup backup snapshot archive",
    "=restore restore recover recovery",
    "=kernel kernel oskernel sysctl",
    "=clock clock time ntp chrony skew drift",
    "=probe probe readiness liveness healthcheck health check",
    "=ingress ingress gateway nginx loadbalancer lb proxy",
    "=circuit circuit breaker fallback bulkhead isolate",
    "=upstream upstream dependency downstream external provider thirdparty",
    "=throttle throttle throttling ratelimit rate",
    "=request request call",
    "=compact compact defragment vacuum defrag",
    "=garbage garbage gc collector collection",
    "=zone zone region az availability",
    "=subnet subnet ip address cidr",
    "=namespace namespace tenant team",
    "=unreachable unreachable unavailable down offline dead",
    "=missing missing absent lost gone",
    "=spike spike surge burst flood peak",
    "=version version tag build",
    "=high high elevated excessive heavy hot busy",
    "=node node kubelet",
    "=stale stale old outdated obsolete",
    "=write write fsync flush",
];
