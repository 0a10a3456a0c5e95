//! Which numbers tell failures apart. A number is a feature only where its neighbours say that it is a code, a port, a version or a limit;
//! all others (counts, sizes, times, ids) are none.

use super::limits::{amount, bare_amount, share};
use super::list;
use super::near::{begins_sentence, counts_something, is_percent, next_word};
use super::telling::{CODE, DETAIL, HTTP_CODES, Number, Sort, code};
use super::tokens::{TextToken, TokenKind};
use super::versions::{major_minor, version, version_behind_v};

/// What the token at this place says, if it is a number that tells. `told` are the numbers found before it, by the places of their tokens.
pub(super) fn number(tokens: &[TextToken<'_>], at: usize, told: &[(usize, Sort)]) -> Option<Number> {
    let token = &tokens[at];
    match token.kind {
        TokenKind::Version => version_behind_v(tokens, at),
        TokenKind::Mixed => mixed(tokens, at),
        TokenKind::Amount => amount(tokens, at),
        TokenKind::Number if token.text.contains(['.', ',']) => {
            let is_share = token.after.starts_with('%') || next_word(tokens, at).is_some_and(is_percent);
            if is_share { share(tokens, at) } else { version(tokens, at, told).or_else(|| bare_amount(tokens, at)) }
        }
        TokenKind::Number => plain(tokens, at, told),
        _ => None,
    }
}

/// The terms that a number would have if it were a code, a version or a limit.
pub(super) fn possible_terms(token: &TextToken<'_>) -> Vec<String> {
    let (low, text) = (token.low.as_str(), token.text);
    match token.kind {
        TokenKind::Number if text.contains('.') => {
            vec![format!("{DETAIL}{}", major_minor(text)), format!("{DETAIL}{text}%")]
        }
        TokenKind::Number => vec![format!("{CODE}{text}"), format!("{DETAIL}{text}"), format!("{DETAIL}{text}%")],
        TokenKind::Amount | TokenKind::Mixed => vec![format!("{CODE}{low}"), format!("{DETAIL}{low}")],
        _ => Vec::new(),
    }
}

/// A number without a point.
fn plain(tokens: &[TextToken<'_>], at: usize, told: &[(usize, Sort)]) -> Option<Number> {
    let token = &tokens[at];
    if token.after.trim_start().starts_with('%') || next_word(tokens, at).is_some_and(is_percent) {
        return share(tokens, at);
    }
    vendor(tokens, at)
        .or_else(|| by_cue(tokens, at))
        .or_else(|| port_of_address(tokens, at))
        .or_else(|| as_before(tokens, at, told))
        .or_else(|| by_phrase(tokens, at))
        .or_else(|| version(tokens, at, told))
        .or_else(|| bare_amount(tokens, at))
}

/// Words behind which a number is a code, however many of [`GLUE`] stand between; the most digits of such a number.
const CUES: &[(&str, Sort, usize)] = &[
    ("exit", Sort::Exit, 3),
    ("exits", Sort::Exit, 3),
    ("exited", Sort::Exit, 3),
    ("exiting", Sort::Exit, 3),
    ("exitcode", Sort::Exit, 3),
    ("rc", Sort::Exit, 3),
    ("retcode", Sort::Exit, 3),
    ("returncode", Sort::Exit, 3),
    ("signal", Sort::Exit, 2),
    ("signals", Sort::Exit, 2),
    ("sig", Sort::Exit, 2),
    ("code", Sort::Code, 10),
    ("codes", Sort::Code, 10),
    ("errcode", Sort::Code, 10),
    ("errorcode", Sort::Code, 10),
    ("statuscode", Sort::Http, 3),
    ("port", Sort::Code, 5),
    ("ports", Sort::Code, 5),
    ("errno", Sort::Code, 5),
    ("sqlstate", Sort::Code, 5),
    ("hresult", Sort::Code, 10),
    ("ntstatus", Sort::Code, 10),
    ("tcp", Sort::Code, 5),
    ("udp", Sort::Code, 5),
    ("codigo", Sort::Code, 10),
    ("codice", Sort::Code, 10),
    ("salida", Sort::Exit, 3),
    ("sortie", Sort::Exit, 3),
    ("saida", Sort::Exit, 3),
    ("uscita", Sort::Exit, 3),
    ("retour", Sort::Exit, 3),
    ("ruckgabewert", Sort::Exit, 3),
    ("exitstatus", Sort::Exit, 3),
    ("выхода", Sort::Exit, 3),
    ("завершения", Sort::Exit, 3),
    ("возврата", Sort::Exit, 3),
    ("ошибки", Sort::Code, 10),
    ("κωδικο", Sort::Code, 10),
    ("κωδικοσ", Sort::Code, 10),
    ("εξοδου", Sort::Exit, 3),
    ("رمز", Sort::Code, 10),
    ("برمز", Sort::Code, 10),
    ("كود", Sort::Code, 10),
    ("بكود", Sort::Code, 10),
    ("الخروج", Sort::Exit, 3),
    ("خروج", Sort::Exit, 3),
    ("الخطا", Sort::Code, 10),
    ("puerto", Sort::Code, 5),
    ("fehlercode", Sort::Code, 10),
    ("exitcode", Sort::Exit, 3),
    ("код", Sort::Code, 10),
    ("кодом", Sort::Code, 10),
    ("кода", Sort::Code, 10),
    ("порт", Sort::Code, 5),
    ("порту", Sort::Code, 5),
];
/// The same in scripts without spaces, where they end the run before the number.
const UNSPACED_CUES: &[(&str, Sort)] = &[
    ("退出码", Sort::Exit),
    ("退出代码", Sort::Exit),
    ("終了コード", Sort::Exit),
    ("信号", Sort::Exit),
    ("シグナル", Sort::Exit),
    ("状态码", Sort::Http),
    ("ステータス", Sort::Http),
    ("ステータスコード", Sort::Http),
    ("错误码", Sort::Code),
    ("错误代码", Sort::Code),
    ("返回码", Sort::Code),
    ("エラーコード", Sort::Code),
    ("コード", Sort::Code),
    ("端口", Sort::Code),
    ("ポート", Sort::Code),
    ("코드", Sort::Code),
    ("포트", Sort::Code),
];
/// Words that may stand between a cue and its number.
const GLUE: &str = "of is was were the a an with by number no nr value equal to status code got on";
/// Words behind which three digits are a code of HTTP.
const HTTP_CUES: &[&str] = &["http", "https", "status", "statuscode"];
/// Words behind which a known code of HTTP is one.
const ANSWER_CUES: &str = "\
    response responses with get getting receive returned returns returning return responded responds responding got gets \
    gave gives answered answers answering answer received receives receiving replied replies reply throws threw throwing \
    nginx ingress gateway upstream many error errors sent sends serving serves served intermittent";
/// Codes of HTTP that tell without a cue.
const PLAIN_HTTP_CODES: &[&str] = &["429", "499", "502", "503", "504"];
/// The words that follow a code of HTTP: its reason, or what it is.
const PHRASES: &str = "\
    bad unauthorized forbidden not request conflict gone payload unprocessable too internal service gateway error errors \
    response responses status insufficient unavailable";

/// `exit code 137`, `signal: 9`, `HTTP 502`, `port 8443`, `error 1205`, `退出码137`.
fn by_cue(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let digits = tokens[at].text;
    for back in 1..=4 {
        if begins_sentence(&tokens[at + 1 - back]) {
            return None;
        }
        let cue = tokens.get(at.checked_sub(back)?)?;
        // `SQLState` is one word of these, though it is written as two.
        let low = cue.ends.as_ref().filter(|name| *name == "sqlstate").unwrap_or(&cue.low).as_str();
        if cue.kind == TokenKind::Unspaced {
            let found = UNSPACED_CUES.iter().filter(|(end, _)| low.ends_with(end)).max_by_key(|(end, _)| end.len());
            return found.and_then(|(_, sort)| (back == 1).then(|| code(digits, *sort)));
        }
        if back == 1
            && matches!(low, "error" | "err" | "fehler" | "erreur" | "ошибка")
            && (2..=5).contains(&digits.len())
        {
            let is_date = tokens[at].after.starts_with(['-', '/']);
            return (!is_date && !counts_something(tokens, at)).then(|| code(digits, http_or(digits, Sort::Code)));
        }
        if let Some((_, sort, most)) = CUES.iter().find(|(word, ..)| *word == low) {
            // "exit code 137": the word before says what kind of code it is.
            let before = at.checked_sub(back + 1).map(|place| tokens[place].low.as_str());
            let sort = match (low, before) {
                ("code" | "codes", Some("exit" | "exited" | "exits" | "return")) => Sort::Exit,
                ("code" | "codes", Some("http" | "status" | "response")) => Sort::Http,
                ("code" | "codes", _) if is_killed(digits) => Sort::Exit,
                ("code" | "codes", _) => http_or(digits, Sort::Code),
                _ => *sort,
            };
            let is_port = matches!(low, "port" | "ports" | "tcp" | "udp" | "puerto" | "порт" | "порту");
            let from = before.is_some_and(|word| matches!(word, "source" | "client" | "ephemeral" | "local"));
            let is_known = digits.len() <= *most && (!is_port || !from && is_lasting_port(digits));
            return is_known.then(|| code(digits, sort));
        }
        if HTTP_CUES.contains(&low) && digits.len() == 3 && digits.starts_with(['1', '2', '3', '4', '5']) {
            // "HTTP/2 502" has the version between.
            return Some(code(digits, Sort::Http));
        }
        if list::has(ANSWER_CUES, low) && !counts_something(tokens, at) {
            if list::has(HTTP_CODES, digits) {
                return Some(code(digits, Sort::Http));
            }
            if low.starts_with("return") && (is_killed(digits) || matches!(digits, "125" | "126" | "127" | "255")) {
                return Some(code(digits, Sort::Exit));
            }
        }
        let may_stand_between = list::has(GLUE, low) || back == 1 && low == "1.1" || cue.text.len() == 1;
        if !may_stand_between {
            break;
        }
    }
    exit_before(tokens, at)
}

/// `exit status of the reporter was 137`: what a shell says of a killed process, somewhere behind a word of exit.
fn exit_before(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    const EXITS: &[&str] = &["exit", "exits", "exited", "exiting", "terminated", "killed"];
    let digits = tokens[at].text;
    if !is_killed(digits) || counts_something(tokens, at) {
        return None;
    }
    for back in 1..=7 {
        if begins_sentence(&tokens[at + 1 - back]) || tokens[at + 1 - back].before.contains(',') {
            return None;
        }
        if EXITS.contains(&tokens.get(at.checked_sub(back)?)?.low.as_str()) {
            return Some(code(digits, Sort::Exit));
        }
    }
    None
}

/// `ORA-01555`, `CVE-2021-44228`.
fn vendor(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    const VENDORS: &[&str] =
        &["ora", "tns", "pls", "rman", "sql", "sqlcode", "cve", "rfc", "kb", "my", "mysql", "dpi", "jdbc", "adr"];
    let (digits, name) = (tokens[at].text, tokens.get(at.checked_sub(1)?)?);
    let behind = |mark: &str| tokens[at].before == mark;
    if name.low == "cve" && tokens[at].after == "-" {
        return None;
    }
    if name.low == "ora" && (behind("-") || behind(" "))
        || VENDORS.contains(&name.low.as_str()) && behind("-") && digits.len() >= 3
    {
        let term = format!("{CODE}{}-{}", name.low, digits.trim_start_matches('0'));
        return Some(Number { term, sort: Sort::Code });
    }
    let of_cve = at >= 2 && behind("-") && tokens[at - 2].low == "cve";
    of_cve.then(|| Number { term: format!("{CODE}cve-{}-{digits}", name.low), sort: Sort::Code })
}

/// Ports that people know.
const WELL_KNOWN: &str = "\
    22 25 53 80 111 123 389 443 465 587 636 993 995 1433 1521 2049 2181 2379 2380 3000 3128 3260 3306 3389 4222 4317 \
    4318 5000 5044 5060 5432 5601 5671 5672 5900 6379 6380 6432 6443 6514 6789 7000 7233 8000 8080 8081 8086 8088 8125 \
    8200 8300 8301 8443 8500 8686 8888 9000 9042 9090 9091 9092 9093 9100 9153 9200 9300 9418 10250 10255 10257 10259 \
    11211 15012 15017 15672 16443 26257 26379 27017 27018 30000 50051 61616";

/// `10.0.0.5:5432`, `db.internal:5432`, `localhost:8080`.
fn port_of_address(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let (token, host) = (&tokens[at], tokens.get(at.checked_sub(1)?)?);
    if !token.before.ends_with(':') || token.before.len() > 2 {
        return None;
    }
    let is_address = host.kind == TokenKind::Number && host.text.matches('.').count() == 3 || token.before == "]:";
    let is_host =
        host.kind != TokenKind::Number && (host.before == "." && !is_file_ending(&host.low) || host.low == "localhost");
    let is_known = list::has(WELL_KNOWN, token.text) && host.kind == TokenKind::Word && !is_file_ending(&host.low);
    if token.before.ends_with(" :") {
        return list::has(WELL_KNOWN, token.text).then(|| code(token.text, Sort::Code));
    }
    let is_port = (is_address || is_host) && is_lasting_port(token.text) || is_known;
    is_port.then(|| code(token.text, Sort::Code))
}

fn is_file_ending(low: &str) -> bool {
    const ENDINGS: &str = "\
        go py rs java js ts tsx c cc cpp h hpp rb sh yaml yml json log txt conf kt scala php cs ex erl clj lua pl sql xml \
        ini toml html swift";
    list::has(ENDINGS, low)
}

/// Whether a port is one that a service listens on, and not one that a client was given.
fn is_lasting_port(digits: &str) -> bool {
    digits.len() >= 2 && digits.parse::<u32>().is_ok_and(|port| port < 32_768 || port == 50_051 || port == 61_616)
}

/// `502, 503 and 504`: a number of as many digits behind one that tells.
fn as_before(tokens: &[TextToken<'_>], at: usize, told: &[(usize, Sort)]) -> Option<Number> {
    let (token, last) = (&tokens[at], told.last()?);
    let is_next = last.0 + 1 == at && matches!(token.before.trim(), "/" | "," | "|" | "or" | "and");
    let is_listed = last.0 + 2 == at
        && matches!(tokens[at - 1].low.as_str(), "or" | "and" | "und" | "et" | "y" | "и" | "to" | "vs");
    let is_alike = last.1 != Sort::Detail && tokens[last.0].text.len() == token.text.len();
    ((is_next || is_listed) && is_alike && !counts_something(tokens, at)).then(|| code(token.text, last.1))
}

/// `502 Bad Gateway`, `429 Too Many Requests`; some codes and ports need no words around them.
fn by_phrase(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let token = &tokens[at];
    let is_port = token.text.len() > 3 && !token.text.ends_with("00") && list::has(WELL_KNOWN, token.text);
    if is_port && !counts_something(tokens, at) && !matches!(token.before, ":" | "-" | "=" | "." | "#") {
        return Some(code(token.text, Sort::Code));
    }
    if !list::has(HTTP_CODES, token.text) {
        return None;
    }
    let next = next_word(tokens, at).unwrap_or_default();
    let is_plain = PLAIN_HTTP_CODES.contains(&token.text)
        && !counts_something(tokens, at)
        && !matches!(token.before, ":" | "-" | "=" | "." | "#");
    (list::has(PHRASES, next) || is_plain).then(|| code(token.text, Sort::Http))
}

/// Codes that letters and digits make: `40P01`, `E11000`, `0x80070005`; and others behind a word that says so.
fn mixed(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let token = &tokens[at];
    let low = token.low.as_str();
    let bytes = low.as_bytes();
    let digits_in =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let is_hex_code = low.strip_prefix("0x").is_some_and(|hex| hex.len() == 8 && hex.starts_with(['8', 'c']));
    let is_sqlstate = bytes.len() == 5 && digits_in(0..2) && bytes[2] == b'p' && digits_in(3..5);
    let is_error = (5..=6).contains(&bytes.len()) && bytes[0] == b'e' && digits_in(1..bytes.len());
    if is_hex_code || is_sqlstate || is_error {
        return Some(Number { term: format!("{CODE}{low}"), sort: Sort::Code });
    }
    if low.len() == 4 && low.ends_with('s') && list::has(HTTP_CODES, &low[..3]) {
        return Some(code(&low[..3], Sort::Http));
    }
    if low.ends_with("th") && next_word(tokens, at).is_some_and(|word| word.starts_with("percentile")) {
        return Some(Number { term: format!("p{}", &low[..low.len() - 2]), sort: Sort::Detail });
    }
    let before = (!begins_sentence(token)).then(|| at.checked_sub(1).map(|place| tokens[place].low.as_str())).flatten();
    let is_cued = matches!(
        before,
        Some(
            "error"
                | "code"
                | "err"
                | "errno"
                | "sqlstate"
                | "hresult"
                | "status"
                | "stop"
                | "bugcheck"
                | "reason"
                | "abend"
        )
    );
    (is_cued && low.len() <= 10).then(|| Number { term: format!("{CODE}{low}"), sort: Sort::Code })
}

fn http_or(digits: &str, other: Sort) -> Sort {
    if list::has(HTTP_CODES, digits) { Sort::Http } else { other }
}

/// Whether a shell says this of a process that a signal ended.
fn is_killed(digits: &str) -> bool {
    matches!(digits, "129" | "130" | "131" | "134" | "135" | "136" | "137" | "139" | "141" | "143")
}
