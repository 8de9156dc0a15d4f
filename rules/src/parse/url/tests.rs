//! What is a URL, and where it leads.

use proptest::prelude::*;

use super::*;

fn place_of(text: &str) -> Place {
    OutsideUrl::parse(text)
        .unwrap_or_else(|e| panic!("{text}: {e:?}"))
        .place()
}

#[test]
fn a_public_https_url_is_read_into_its_parts() {
    let url = OutsideUrl::parse("https://mcp.example.com:8443/a/b?c=d").unwrap();
    assert!(url.is_https());
    assert_eq!((url.host(), url.port()), ("mcp.example.com", 8443));
    assert_eq!((url.path(), url.query()), ("/a/b", Some("c=d")));
    assert_eq!(url.clone().strict(), Ok(url));
    assert_eq!(
        OutsideUrl::parse("http://a.example.com").unwrap().port(),
        80
    );
    assert_eq!(
        OutsideUrl::parse("https://[2606:4700::1]/").unwrap().port(),
        443
    );
}

#[test]
fn http_is_read_but_is_not_strict() {
    let url = OutsideUrl::parse("http://mcp.example.com/mcp").unwrap();
    assert!(url.clone().outside().is_ok());
    assert_eq!(url.strict(), Err(UrlFault::Insecure));
}

#[test]
fn what_libraries_read_differently_is_not_read_at_all() {
    for (text, fault) in [
        ("", UrlFault::Empty),
        ("mcp.example.com", UrlFault::NoScheme),
        ("//mcp.example.com", UrlFault::NoScheme),
        ("https:/mcp.example.com", UrlFault::NoScheme),
        ("https:mcp.example.com", UrlFault::NoScheme),
        ("ftp://mcp.example.com", UrlFault::Scheme),
        ("file:///etc/passwd", UrlFault::Scheme),
        ("javascript://x", UrlFault::Scheme),
        ("HTTPS://mcp.example.com", UrlFault::UpperCase),
        ("https://MCP.example.com", UrlFault::UpperCase),
        ("https://user@mcp.example.com", UrlFault::UserInfo),
        ("https://mcp.example.com@127.0.0.1/", UrlFault::UserInfo),
        ("https://:@mcp.example.com", UrlFault::UserInfo),
        ("https://mcp.example.com#x", UrlFault::Fragment),
        ("https://mcp.example.com/#x", UrlFault::Fragment),
        ("https://127.0.0.1\\@mcp.example.com", UrlFault::Characters),
        ("https://mcp.example.com/ x", UrlFault::Characters),
        ("https://127.0.\t0.1", UrlFault::Characters),
        ("https://mcp.example.com/\n", UrlFault::Characters),
        ("https://m\u{fc}nchen.example.com", UrlFault::NotAscii),
        ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1", UrlFault::NotAscii),
        ("https://127\u{3002}0\u{3002}0\u{3002}1", UrlFault::NotAscii),
        ("https://", UrlFault::Host(host::Error::Empty)),
        ("https:///x", UrlFault::Host(host::Error::Empty)),
        (
            "https://a..example.com",
            UrlFault::Host(host::Error::EmptyLabel),
        ),
        (
            "https://localhost.",
            UrlFault::Host(host::Error::EmptyLabel),
        ),
        (
            "https://127.0.0.1.",
            UrlFault::Host(host::Error::EmptyLabel),
        ),
        (
            "https://%31%32%37.0.0.1",
            UrlFault::Host(host::Error::Characters),
        ),
        (
            "https://a_b.example.com",
            UrlFault::Host(host::Error::Characters),
        ),
        (
            "https://*.example.com",
            UrlFault::Host(host::Error::Wildcard),
        ),
        ("https://mcp.example.com:", UrlFault::Port),
        ("https://mcp.example.com:0", UrlFault::Port),
        ("https://mcp.example.com:080", UrlFault::Port),
        ("https://mcp.example.com:65536", UrlFault::Port),
        ("https://mcp.example.com:80:80", UrlFault::Port),
        ("https://[::1]x", UrlFault::Port),
        ("https://mcp.example.com/%2e%2e/x", UrlFault::Encoding),
        ("https://mcp.example.com/a%2Fb", UrlFault::Encoding),
        ("https://mcp.example.com/%zz", UrlFault::Encoding),
        ("https://mcp.example.com/%4", UrlFault::Encoding),
        ("https://mcp.example.com/a/../b", UrlFault::Path),
        ("https://mcp.example.com/./b", UrlFault::Path),
        ("https://mcp.example.com//b", UrlFault::Path),
    ] {
        assert_eq!(OutsideUrl::parse(text), Err(fault), "{text}");
    }
}

#[test]
fn an_address_in_a_spelling_that_readers_differ_about_is_not_read() {
    for text in [
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.01/",
        "https://0/",
        "https://1.2.3.4.5/",
        "https://256.256.256.256/",
        "https://example.0x7f/",
        "https://[127.0.0.1]/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[]/",
    ] {
        let fault = OutsideUrl::parse(text);
        assert_eq!(fault, Err(UrlFault::AddressSpelling), "{text}");
    }
}

#[test]
fn a_host_leads_where_its_name_or_address_says() {
    for (host, expected) in [
        ("mcp.example.com", Place::Public),
        ("localhost.example.com", Place::Public),
        ("notlocalhost.com", Place::Public),
        ("8.8.8.8", Place::Public),
        ("[2606:4700::1111]", Place::Public),
        ("localhost", Place::Loopback),
        ("a.localhost", Place::Loopback),
        ("localhost.localdomain", Place::Loopback),
        ("127.0.0.1", Place::Loopback),
        ("127.255.255.254", Place::Loopback),
        ("[::1]", Place::Loopback),
        ("[0:0:0:0:0:0:0:1]", Place::Loopback),
        ("[::ffff:127.0.0.1]", Place::Loopback),
        ("[::ffff:7f00:1]", Place::Loopback),
        ("0.0.0.0", Place::Unspecified),
        ("[::]", Place::Unspecified),
        ("[::ffff:0.0.0.0]", Place::Unspecified),
        ("169.254.169.254", Place::Metadata),
        ("[::ffff:169.254.169.254]", Place::Metadata),
        ("[::ffff:a9fe:a9fe]", Place::Metadata),
        ("[64:ff9b::a9fe:a9fe]", Place::Metadata),
        ("[fd00:ec2::254]", Place::Metadata),
        ("metadata.google.internal", Place::Metadata),
        ("metadata", Place::Metadata),
        ("169.254.0.7", Place::LinkLocal),
        ("[fe80::1]", Place::LinkLocal),
        ("10.0.0.1", Place::Private),
        ("192.168.0.1", Place::Private),
        ("[fd00::1]", Place::Private),
        ("[::ffff:10.0.0.1]", Place::Private),
        ("vault.corp.internal", Place::Private),
        ("printer.local", Place::Private),
        ("weather", Place::Cluster),
        ("weather.team-a.svc", Place::Cluster),
        ("kubernetes.default.svc.cluster.local", Place::Cluster),
        ("255.255.255.255", Place::Special),
        ("[ff02::1]", Place::Special),
    ] {
        assert_eq!(place_of(&format!("https://{host}/mcp")), expected, "{host}");
    }
}

#[test]
fn what_was_meant_is_said() {
    for (text, expected) in [
        ("mcp.example.com/mcp", Some("https://mcp.example.com/mcp")),
        (
            "HTTPS://MCP.example.com/A",
            Some("https://mcp.example.com/A"),
        ),
        (
            "https://user:word@mcp.example.com/",
            Some("https://mcp.example.com/"),
        ),
        (
            "https://mcp.example.com/#top",
            Some("https://mcp.example.com/"),
        ),
        (
            "https://b\u{fc}cher.example.com/",
            Some("https://xn--bcher-kva.example.com/"),
        ),
        ("https://mcp.example.com/", None),
        ("https://a b/", None),
    ] {
        assert_eq!(meant(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_quoted() {
    for (text, expected) in [
        (
            "https://mcp.example.com/@scope/x",
            "https://mcp.example.com/@scope/x",
        ),
        (
            "https://mcp.example.com/mcp?key=hunter2",
            "https://mcp.example.com/mcp?...",
        ),
        (
            "https://user:hunter2@mcp.example.com/mcp",
            "https://...@mcp.example.com/mcp",
        ),
        (
            "https://user:hunter2@mcp.example.com/?a=hunter2",
            "https://...@mcp.example.com/?...",
        ),
        (
            "https://user:hunter2?@mcp.example.com/",
            "https://...@mcp.example.com/?...",
        ),
        ("user:hunter2@mcp.example.com", "://...@mcp.example.com"),
    ] {
        assert_eq!(quotable(text), expected, "{text}");
    }
}

proptest! {
    /// An IPv4 address in every spelling that some reader takes for it: none gets through as a public host.
    #[test]
    fn no_spelling_of_an_inside_address_is_public(a in prop::sample::select(vec![0_u8, 10, 127]), b: u8, c: u8, d: u8) {
        let number = u32::from_be_bytes([a, b, c, d]);
        let (high, low) = (number >> 16, number & 0xffff);
        for host in [
            format!("{a}.{b}.{c}.{d}"),
            format!("{number}"),
            format!("{number:#x}"),
            format!("0{number:o}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a}.{}", number & 0x00ff_ffff),
            format!("{a}.{b}.{low}"),
            format!("{a:#x}.{b}.0{low:o}"),
            format!("{a:03}.{b:03}.{c:03}.{d:03}"),
            format!("{a}.{b}.{c}.{d}."),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[::ffff:{high:x}:{low:x}]"),
            format!("[0:0:0:0:0:ffff:{high:x}:{low:x}]"),
            format!("[::{high:x}:{low:x}]"),
            format!("[64:ff9b::{high:x}:{low:x}]"),
            format!("[2002:{high:x}:{low:x}::]"),
        ] {
            let read = OutsideUrl::parse(&format!("https://{host}/")).and_then(OutsideUrl::outside);
            prop_assert!(read.is_err(), "{host}: {read:?}");
        }
    }

    /// Whatever is read keeps its host: nothing before the first '/', '?' or '#' but host and port.
    #[test]
    fn what_is_read_is_what_was_written(text in "https?://[a-z0-9.:@/?#\\[\\]%\\\\-]{0,40}") {
        if let Ok(url) = OutsideUrl::parse(&text) {
            let authority = text.split_once("://").unwrap().1.split(['/', '?', '#']).next().unwrap();
            let with_port = format!("{}:{}", url.host(), url.port());
            prop_assert!(authority == url.host() || authority == with_port, "{}", authority);
        }
    }

    /// Any text at all is answered.
    #[test]
    fn any_text_is_answered(text in ".{0,64}") {
        let _ = OutsideUrl::parse(&text);
        let _ = meant(&text);
    }
}
