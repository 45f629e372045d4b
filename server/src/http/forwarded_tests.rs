use std::net::IpAddr;

use proptest::prelude::*;

use super::forwarded::{Proxies, Told, TrustedProxy, TrustedProxyError, Values};

fn proxies(named: &[&str]) -> Proxies {
    let named: Vec<TrustedProxy> = named.iter().map(|text| text.parse().unwrap()).collect();
    Proxies::new(&named)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The client that a proxy tells of, from 127.0.0.1 or a network of more proxies.
fn client(values: Values<'_>) -> Option<String> {
    let told = proxies(&["127.0.0.1", "10.0.0.0/8"]).told(values).unwrap();
    told.client.map(|client| client.to_string())
}

fn of_addresses(list: &str) -> Option<String> {
    client(Values { addresses: Some(list), ..Values::default() })
}

fn of_elements(text: &str) -> Option<String> {
    client(Values { elements: Some(text), ..Values::default() })
}

#[test]
fn proxies_are_addresses_or_those_that_begin_with_the_same_bits() {
    let some =
        proxies(&["127.0.0.1", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:192.0.2.0/120"]);
    for known in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "10.0.0.0",
        "10.255.255.255",
        "::1",
        "2001:db8:9::1",
        "192.0.2.7",
    ] {
        assert!(some.have(address(known)), "{known}");
    }
    for unknown in
        ["127.0.0.2", "11.0.0.0", "9.255.255.255", "::2", "2001:db9::1", "192.0.3.0", "::"]
    {
        assert!(!some.have(address(unknown)), "{unknown}");
    }
    assert!(proxies(&["0.0.0.0/0"]).have(address("203.0.113.9")));
    assert!(!proxies(&["0.0.0.0/0"]).have(address("::1")));
    assert!(proxies(&["::/0"]).have(address("2001:db8::1")));
    assert!(!proxies(&[]).have(address("127.0.0.1")));
    assert_eq!("10.1.2.3/8".parse::<TrustedProxy>().unwrap().to_string(), "10.0.0.0/8");
}

#[test]
fn text_that_is_no_address_of_proxies_is_told() {
    for text in [
        "",
        "/",
        "box",
        "127.0.0.1:80",
        "127.0.0.1/",
        "127.0.0.1/+8",
        "127.0.0.1/8/8",
        "[::1]",
        "fe80::1%eth0",
    ] {
        let wrong = text.parse::<TrustedProxy>().unwrap_err();
        assert_eq!(wrong, TrustedProxyError::Address(text.to_owned()), "{text}");
    }
    for (text, most) in [("127.0.0.1/33", 32), ("127.0.0.1/300", 32), ("::1/129", 128)] {
        let wrong = text.parse::<TrustedProxy>().unwrap_err();
        assert_eq!(wrong, TrustedProxyError::Bits(text.to_owned(), most), "{text}");
    }
}

#[test]
fn client_is_the_last_address_that_is_no_proxy() {
    for (list, found) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.5,\t10.0.0.6 ", "192.0.2.1"),
        // A client has written all in front of its own address.
        ("127.0.0.1, 10.0.0.9, 203.0.113.9, 192.0.2.1", "192.0.2.1"),
        ("\u{fffd}\u{fffd}, \"x, 192.0.2.1, 10.0.0.5", "192.0.2.1"),
        // All of them are proxies.
        ("10.0.0.7, 10.0.0.5", "10.0.0.7"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(of_addresses(list).as_deref(), Some(found), "{list}");
    }
}

#[test]
fn list_that_can_t_be_read_up_to_the_client_tells_of_none() {
    for list in [
        "",
        ",",
        "192.0.2.1,",
        "unknown",
        "box",
        "192.0.2.1, unknown, 10.0.0.5",
        "192.0.2.256",
        "192.0.2.1:99999",
        "192.0.2.1 192.0.2.2",
        "fe80::1%2",
        "[fe80::1%2]:80",
        "[192.0.2.1]",
        "192.0.2.1\u{fffd}",
    ] {
        assert_eq!(of_addresses(list), None, "{list}");
    }
}

#[test]
fn standard_field_tells_of_client_scheme_and_host() {
    let told = |text: &str| {
        let values = Values { elements: Some(text), ..Values::default() };
        proxies(&["127.0.0.1", "10.0.0.0/8"]).told(values).unwrap()
    };
    let all = "for=203.0.113.9;proto=http, For=\"[2001:db8::1]:80\"; PROTO=https ;host=\"files.example:8443\", for=10.0.0.5;proto=http";
    let found = Told {
        client: Some(address("2001:db8::1")),
        over_tls: Some(true),
        host: Some(String::from("files.example:8443")),
    };
    assert_eq!(told(all), found);
    assert_eq!(told("by=_a;for=\"192.0.2.\\1\"").client, Some(address("192.0.2.1")));
    assert_eq!(of_elements("for=192.0.2.1:80").as_deref(), Some("192.0.2.1"));
    assert_eq!(of_elements(", ,for=192.0.2.1,").as_deref(), Some("192.0.2.1"));
    for text in [
        "",
        "for=unknown",
        "for=_hidden",
        "for=192.0.2.1, for=_hidden",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;For=192.0.2.1",
        "for = 192.0.2.1",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\"x",
        "for=\"192.0.2.1\\",
        "for",
        "=192.0.2.1",
        "for=",
        "for=192.0.2.1 proto=https",
        "\u{fffd}=1;for=192.0.2.1",
    ] {
        assert_eq!(told(text).client, None, "{text}");
    }
}

/// The proxy appends its element to whatever a client has sent.
#[test]
fn no_beginning_of_the_standard_field_makes_a_client_another_one() {
    for begin in [
        "for=\"",
        "for=203.0.113.9;x=\"",
        "x=\"\\",
        "for=203.0.113.9",
        "for=203.0.113.9;",
        "\"",
        "=",
    ] {
        for own in
            ["for=192.0.2.1", "for=192.0.2.1;host=\"a:1\";proto=https", "for=\"192.0.2.1:80\""]
        {
            let found = of_elements(&format!("{begin}, {own}"));
            assert!(found.is_none() || found.as_deref() == Some("192.0.2.1"), "{begin}: {found:?}");
        }
    }
}

/// A proxy hands a client's own field of the kind on that it does not write.
#[test]
fn fields_that_differ_tell_of_no_client() {
    let both = |addresses, elements| {
        client(Values { addresses: Some(addresses), elements: Some(elements), ..Values::default() })
    };
    assert_eq!(both("192.0.2.1", "for=192.0.2.1").as_deref(), Some("192.0.2.1"));
    for elements in ["for=203.0.113.9", "for=unknown", "", "x"] {
        assert_eq!(both("192.0.2.1", elements), None, "{elements}");
    }
    let schemes = |scheme, elements| {
        let values = Values { scheme: Some(scheme), elements: Some(elements), ..Values::default() };
        proxies(&[]).told(values).unwrap().over_tls
    };
    assert_eq!(schemes("https", "for=192.0.2.1;proto=https"), Some(true));
    assert_eq!(schemes("http", "for=192.0.2.1;proto=https"), None);
    assert_eq!(schemes("http", "for=192.0.2.1"), Some(false));
}

#[test]
fn scheme_and_host_are_single_words() {
    let told = |scheme, host| {
        let values = Values { scheme: Some(scheme), host: Some(host), ..Values::default() };
        let Told { over_tls, host, .. } = proxies(&[]).told(values).unwrap();
        (over_tls, host)
    };
    assert_eq!(told("HTTPS", "a:1"), (Some(true), Some(String::from("a:1"))));
    assert_eq!(told("http", "a, b"), (Some(false), None));
    assert_eq!(told("https, http", ""), (None, None));
    assert_eq!(told("wss", "a b"), (None, None));
    assert_eq!(proxies(&[]).told(Values::default()), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", list in "[0-9a-f:.,\" \\\\=;for\\[\\]]{0,60}") {
        let some = proxies(&["::/0"]);
        for text in [&text, &list] {
            let _ = text.parse::<TrustedProxy>();
            let text = Some(text.as_str());
            let _ = some.told(Values { addresses: text, scheme: text, host: text, elements: text });
        }
    }

    /// The proxy's last word counts, whatever a client sends.
    #[test]
    fn address_that_the_proxy_has_seen_is_the_client(before in ".{0,40}", seen in any::<[u8; 4]>()) {
        let seen = IpAddr::from(seen);
        prop_assume!(seen != address("127.0.0.1"));
        let list = format!("{before}, {seen}");
        let values = Values { addresses: Some(&list), ..Values::default() };
        prop_assert_eq!(proxies(&["127.0.0.1"]).told(values).unwrap().client, Some(seen));
    }

    #[test]
    fn network_has_the_addresses_that_share_its_bits(a in any::<u128>(), b in any::<u128>(), bits in 0_u8..=128) {
        let (one, other) = (std::net::Ipv6Addr::from_bits(a), std::net::Ipv6Addr::from_bits(b));
        prop_assume!(one.to_ipv4_mapped().is_none() && other.to_ipv4_mapped().is_none());
        let shares = (a ^ b).leading_zeros() >= u32::from(bits);
        let some = proxies(&[&format!("{one}/{bits}")]);
        prop_assert!(some.have(one.into()));
        prop_assert_eq!(some.have(other.into()), shares);
    }
}
