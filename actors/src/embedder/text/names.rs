//! Names with digits in them that tell failures apart, and what a machine made up.

use super::list;
use super::pieces::{Piece, PieceKind};

/// Whether it is a name with digits that people know, in lower case.
pub(super) fn is_name(low: &str) -> bool {
    // Most words have no digit, and all of these have one.
    low.bytes().any(|byte| byte.is_ascii_digit())
        && (list::has(NAMES, low)
            || is_percentile(low)
            || is_api_version(low)
            || is_class_of_codes(low)
            || is_device(low))
}

/// `p50`, `p99`, `p999`.
fn is_percentile(low: &str) -> bool {
    low.strip_prefix('p').is_some_and(|digits| {
        (2..=4).contains(&digits.len()) && digits.starts_with(['5', '7', '8', '9']) && all_digits(digits)
    })
}

/// `v1`, `v2beta1`.
fn is_api_version(low: &str) -> bool {
    let Some(rest) = low.strip_prefix('v') else { return false };
    let digits = |text: &str| (1..=2).contains(&text.len()) && all_digits(text);
    let stage = rest.split_once("alpha").or_else(|| rest.split_once("beta"));
    stage.map_or(digits(rest), |(version, of_stage)| digits(version) && digits(of_stage))
}

/// `4xx`, `5xx`.
fn is_class_of_codes(low: &str) -> bool {
    matches!(low.as_bytes(), [b'1'..=b'5', b'x', b'x'])
}

/// Network interfaces and disks: `eth0`, `nvme0n1`, `sda1`.
fn is_device(low: &str) -> bool {
    let name = low.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &low[name.len()..];
    if name.len() == low.len() || number.len() > 3 {
        return false;
    }
    list::has(DEVICES, name)
        || name.strip_prefix("nvme").is_some_and(|rest| rest.strip_suffix('n').is_some_and(all_digits))
        || ["sd", "vd", "xvd"].iter().any(|disk| name.strip_prefix(disk).is_some_and(|letter| letter.len() == 1))
}

const DEVICES: &str = "wg eth ens eno bond wlan br docker cni tun tap ib loop md nvidia nvme vxlan";

const NAMES: &str = "\
    2fa 7zip a100 a11y aarch64 aes128 aes256 amd64 arm64 armv7 armv8 b2b base32 base64 bzip2 c10k cgroupv1 cgroupv2 crc32 \
    crc32c css3 d3 d365 db2 e2e ec2 ed25519 es256 es5 es6 ext2 ext3 ext4 f5 float32 float64 g1gc gp2 gp3 h100 h2 h264 h265 \
    h3 hs256 hs512 html5 http1 http2 http3 i18n i386 i686 int32 int64 io1 io2 ip4 ip6 ip6tables ipv4 ipv6 k0s k3s k8s l10n \
    l2 l3 l4 l7 log4j log4j2 log4shell lz4 m365 md5 mp3 mp4 neo4j nfs3 nfs4 nfsv3 nfsv4 o365 oauth1 oauth2 p256 p2p pkcs1 \
    pkcs11 pkcs12 pkcs7 pkcs8 ppc64le r2 r53 riscv64 rke2 route53 rs256 rs512 rsa2048 rsa4096 s3 s390x sc1 sha1 sha224 \
    sha256 sha384 sha512 smb1 smb2 smb3 socks4 socks5 spring4shell ssl2 ssl3 st1 t4 uint32 uint64 utf16 utf32 utf8 utf8mb3 \
    utf8mb4 v100 v8 web3 win32 x32 x509 x64 x86";

/// Whether a machine seems to have made up a piece: hexadecimal letters, parts of ids that hyphens tie together, or a suffix in Kubernetes'
/// own alphabet (no vowels, no 0, 1, 3).
pub(super) fn is_machine_made(pieces: &[Piece<'_>], at: usize) -> bool {
    let piece = &pieces[at];
    let low = piece.low.as_str();
    if !matches!(piece.kind, PieceKind::Word | PieceKind::Mixed | PieceKind::Number) {
        return false;
    }
    let is_word = piece.kind == PieceKind::Word;
    if is_word && low.len() >= 6 && is_hex(low) && !["facade", "decade", "defaced", "acceded", "effaced"].contains(&low)
    {
        return true;
    }
    let is_suffix = ["-", "_"].contains(&piece.before)
        && (low.len() == 5 || (8..=10).contains(&low.len()) || low.len() == 4 && at > 0 && is_hash(&pieces[at - 1]))
        && piece.kind != PieceKind::Number
        && low.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
        && !ACRONYMS.contains(&low)
        && !is_name(low);
    // A part of a UUID or of another id: hexadecimal, tied to another such part, with digits in one of them.
    let of_id = |piece: &Piece<'_>| piece.low.len() >= 4 && is_hex(&piece.low);
    let has_digits = |piece: &Piece<'_>| piece.kind != PieceKind::Word;
    let tied = |a: &Piece<'_>, b: &Piece<'_>| {
        b.before == "-"
            && of_id(a)
            && of_id(b)
            && (has_digits(a) || has_digits(b))
            && !(all_digits(&a.low) && all_digits(&b.low))
    };
    let is_part = at > 0 && tied(&pieces[at - 1], piece) || pieces.get(at + 1).is_some_and(|next| tied(piece, next));
    // Consonants alone, and more of them than an acronym has.
    let is_unspeakable = is_word && low.len() > 7 && low.is_ascii() && !low.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    is_suffix || is_part || is_unspeakable
}

/// Whether it looks like a hash that a controller or a cloud made of a name.
fn is_hash(piece: &Piece<'_>) -> bool {
    piece.kind == PieceKind::Mixed && (8..=10).contains(&piece.low.len())
}

/// Acronyms that look like a suffix.
const ACRONYMS: &[&str] =
    &["btrfs", "https", "kmsgs", "ldaps", "pgsql", "tmpfs", "xhtml", "mssql", "ntlms", "ntfs", "vlans"];

/// Whether letters look like a word, and not like a part of an id.
pub(super) fn is_word_like(letters: &str) -> bool {
    let low = letters.to_lowercase();
    low.len() > 3
        && low.chars().all(char::is_alphabetic)
        && !is_hex(&low)
        && low.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

pub(super) fn is_hex(low: &str) -> bool {
    low.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
