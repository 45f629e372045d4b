//! The client in whose name a proxy asks: `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, and `Forwarded` (RFC 7239).
//!
//! Anybody can write these fields, so they count only in requests of proxies that the server's owner has named. A list is read
//! from its end: the last address is the one that the proxy itself has seen, and those in front of it are what others say. The
//! client is the last one that is no such proxy; nothing in front of that is looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use thiserror::Error;

/// Addresses of proxies that tell for whom they ask: `ADDR`, or `ADDR/BITS` for all that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy {
    /// The bits behind the first ones are 0. Never a version 4 address in the words of version 6.
    address: IpAddr,
    bits: u8,
}

/// The text is no address of proxies.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustedProxyError {
    /// Not an address, or with a port.
    #[error("`{0}` is not ADDR or ADDR/BITS, such as 127.0.0.1, 10.0.0.0/8 or ::1")]
    Address(String),
    /// More bits than an address has.
    #[error("`{0}` has more bits than that address: {1} at most")]
    Bits(String, u8),
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        let wrong = || TrustedProxyError::Address(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) if is_number(bits) && !bits.is_empty() => {
                let bits = bits.parse().ok().filter(|bits| *bits <= most);
                bits.ok_or_else(|| TrustedProxyError::Bits(text.to_owned(), most))?
            }
            Some(_) => return Err(wrong()),
        };
        // An address of version 4 in the words of version 6 has 96 bits in front of its own.
        let (address, bits) = match (address.to_canonical(), bits.checked_sub(96)) {
            (IpAddr::V4(inner), Some(rest)) if address.is_ipv6() => (IpAddr::V4(inner), rest),
            (IpAddr::V4(_), None) if address.is_ipv6() => (address, bits),
            (address, _) => (address, bits),
        };
        Ok(Self { address: first_bits(address, bits), bits })
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TrustedProxy {
    /// Whether an address in its own version's words is one of them.
    fn has(self, address: IpAddr) -> bool {
        let same_version = address.is_ipv4() == self.address.is_ipv4();
        same_version && first_bits(address, self.bits) == self.address
    }
}

/// An address with 0 for all but its first bits.
fn first_bits(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// The values of the fields, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    /// `X-Forwarded-For`.
    pub(crate) addresses: Option<&'a str>,
    /// `X-Forwarded-Proto`.
    pub(crate) scheme: Option<&'a str>,
    /// `X-Forwarded-Host`.
    pub(crate) host: Option<&'a str>,
    /// `Forwarded`.
    pub(crate) elements: Option<&'a str>,
}

/// The facts that a proxy has told about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The client. `None`: the proxy itself, as far as its fields can be read.
    pub(crate) client: Option<IpAddr>,
    /// Whether the client reached the proxy over TLS, if that is told.
    pub(crate) over_tls: Option<bool>,
    /// The `Host` that the client has asked for, if that is told.
    pub(crate) host: Option<String>,
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<TrustedProxy>);

impl Proxies {
    /// Those that the owner has named.
    pub(crate) fn new(named: &[TrustedProxy]) -> Self {
        Self(named.to_vec())
    }

    /// Whether this address is that of one.
    pub(crate) fn have(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|proxy| proxy.has(address))
    }

    /// The facts that such a proxy tells; `None` if it tells of nobody, and so is the client itself.
    pub(crate) fn told(&self, values: Values<'_>) -> Option<Told> {
        let Values { addresses, scheme, host, elements } = values;
        if [addresses, scheme, host, elements].iter().all(Option::is_none) {
            return None;
        }
        let simple = Told {
            client: addresses.and_then(|list| self.client(list.rsplit(',').map(node))),
            over_tls: scheme.and_then(is_https),
            host: host.filter(|host| is_one(host)).map(ToOwned::to_owned),
        };
        let Some(elements) = elements else { return Some(simple) };
        let standard = self.standard(elements);
        let has_simple = addresses.is_some();
        // A proxy writes one kind, and hands on whatever a client has written of the other.
        let client = match (has_simple, standard.client == simple.client) {
            (true, true) => simple.client,
            (true, false) => None,
            (false, _) => standard.client,
        };
        let over_tls = match (simple.over_tls, standard.over_tls) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        Some(Told { client, over_tls, host: simple.host.or(standard.host) })
    }

    /// The client of a list, from its end.
    fn client(&self, nodes: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut first = None;
        for node in nodes {
            first = Some(node?);
            if !node.is_some_and(|node| self.have(node)) {
                break;
            }
        }
        first
    }

    /// The facts of `Forwarded`: those of the element that has the client.
    fn standard(&self, text: &str) -> Told {
        let Some(elements) = elements(text) else { return Told::default() };
        let mut found = Told::default();
        for element in elements.iter().rev() {
            let value = |name: &str| {
                let pair = element.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
                pair.map(|(_, value)| &**value)
            };
            let client = value("for").and_then(node);
            found = Told {
                client,
                over_tls: value("proto").and_then(is_https),
                host: value("host").filter(|host| is_one(host)).map(ToOwned::to_owned),
            };
            if !client.is_some_and(|client| self.have(client)) {
                break;
            }
        }
        found
    }
}

/// The address of a node, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let inner = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let address = text.parse::<IpAddr>().ok().or_else(|| inner().map(IpAddr::V6));
    let with_port = || {
        let address = text.parse::<SocketAddr>().ok()?;
        // The number of an interface means nothing to another machine.
        let has_scope = |address: &SocketAddrV6| address.scope_id() != 0;
        (!matches!(address, SocketAddr::V6(address) if has_scope(&address))).then(|| address.ip())
    };
    address.or_else(with_port).map(|address| address.to_canonical())
}

/// Whether a scheme is that of TLS; `None` if it is none of the two, or there are several.
fn is_https(scheme: &str) -> Option<bool> {
    let is = |word: &str| scheme.eq_ignore_ascii_case(word);
    if is("https") { Some(true) } else { is("http").then_some(false) }
}

/// Whether a text can be one `Host`.
fn is_one(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// The pairs of an element of `Forwarded`.
type Element = Vec<(String, String)>;

/// Reads `Forwarded` whole. `None`: it breaks the grammar, or has a name twice in an element.
fn elements(text: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::new()];
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.starts_with([',', ';']) && !rest.is_empty() {
            let (name, behind) = rest.split_once('=')?;
            let (value, behind) = value(behind)?;
            let element = elements.last_mut()?;
            let is_twice = element.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            if is_twice || name.is_empty() || !name.bytes().all(is_token) {
                return None;
            }
            element.push((name.to_owned(), value));
            rest = behind.trim_start_matches([' ', '\t']);
        }
        match rest.split_at_checked(1) {
            None if rest.is_empty() => break,
            Some((",", behind)) => {
                elements.push(Element::new());
                rest = behind;
            }
            Some((";", behind)) => rest = behind,
            _ => return None,
        }
    }
    // Empty elements of a list mean nothing (RFC 9110, section 5.6.1).
    elements.retain(|element| !element.is_empty());
    Some(elements)
}

/// A token or a quoted text at the front, and all behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Without the quotes that the standard asks for, some proxies write a port or an address of version 6.
        let is_plain = |byte: u8| is_token(byte) || b":[]".contains(&byte);
        let end = text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// A byte of a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
