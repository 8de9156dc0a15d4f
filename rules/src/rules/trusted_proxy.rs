//! MCP0412 trusted-proxy: mode header without a proxy that may set the headers, or with one that is everybody.

use std::net::IpAddr;

use api::{AuthMode, TrustedProxy};

use crate::parse::address::Network;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0412", "trusted-proxy", SERVER, Class::Structural).summary(
        "mode `header` without `trustedProxies`, or an entry that covers everything, loopback, or is no network in CIDR notation",
    ),
    check,
};

/// The widest network that can be somebody's in particular: a cluster's pods.
const WIDEST: u8 = 8;

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let proxies = spec.auth.as_ref().map(|auth| auth.trusted_proxies.as_slice()).unwrap_or_default();
    if effective.auth.mode == AuthMode::Header && proxies.is_empty() {
        report
            .at("spec.auth.trustedProxies")
            .must("must say who may set the headers: with auth.mode header whoever can is believed")
            .hint("trustedProxies: [{podLabels: {app: my-proxy}}]");
    }
    for (index, proxy) in proxies.iter().enumerate() {
        judge(&format!("spec.auth.trustedProxies[{index}]"), proxy, report);
    }
}

fn judge(field: &str, proxy: &TrustedProxy, report: &mut Report) {
    let labelled = !proxy.pod_labels.is_empty() || !proxy.namespace_labels.is_empty();
    match (&proxy.cidr, labelled) {
        (None, true) => {}
        (None, false) => {
            report
                .at(field)
                .must("must name labels or a network: an entry that says nothing covers everything")
                .hint("podLabels: {app: my-proxy}");
        }
        (Some(_), true) => {
            report
                .at(format!("{field}.cidr"))
                .must("must not be beside labels: a peer is one or the other")
                .hint("make two entries of it");
        }
        (Some(cidr), false) => network(&format!("{field}.cidr"), cidr, report),
    }
}

fn network(field: &str, cidr: &str, report: &mut Report) {
    let Some(network) = Network::parse(cidr) else {
        let draft = report.at(field).given(cidr).must("must be a network such as 10.0.0.0/8, without bits behind its prefix");
        if let Some(meant) = masked(cidr) {
            draft.hint(format!("cidr: {meant}"));
        }
        return;
    };
    let loopback = ["127.0.0.1", "::1"].into_iter().filter_map(|address| address.parse().ok());
    if is_everybody(&network) {
        report
            .at(field)
            .given(cidr)
            .must(format!("must not cover everything: a network wider than /{WIDEST} is nobody in particular"))
            .hint("cidr: the network of the proxy alone, or podLabels");
    } else if loopback.into_iter().any(|address: IpAddr| network.contains(address)) {
        report
            .at(field)
            .given(cidr)
            .must("must not be loopback: the server itself speaks from there")
            .hint("podLabels: {app: my-proxy}");
    }
}

/// Whether a network is too wide, or holds every IPv4 address as IPv6 ones.
fn is_everybody(network: &Network) -> bool {
    let mapped = Network::parse("::ffff:0:0/96").expect("it is a network");
    let fixed = if network.is_within(&mapped) { network.prefix_length() - mapped.prefix_length() } else { network.prefix_length() };
    fixed < WIDEST || mapped.is_within(network)
}

/// The network of an address with its prefix length.
fn masked(cidr: &str) -> Option<String> {
    let (address, length) = cidr.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let address = match address.parse().ok()? {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0)).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0)).into()),
    };
    let network = format!("{address}/{length}");
    Network::parse(&network).map(|_| network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_are_everybody_are_seen_in_every_spelling() {
        for (text, expected) in [
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("128.0.0.0/1", true),
            ("0.0.0.0/7", true),
            ("10.0.0.0/8", false),
            ("10.0.0.7", false),
            ("::ffff:0:0/96", true),
            ("::ffff:0.0.0.0/97", true),
            ("::/64", true),
            ("::ffff:10.0.0.0/104", false),
            ("fd00::/8", false),
        ] {
            assert_eq!(is_everybody(&Network::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn the_network_of_an_address_is_said() {
        assert_eq!(masked("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(masked("10.1.2.3/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(masked("fd00::7/64").as_deref(), Some("fd00::/64"));
        assert_eq!(masked("10.1.2.3/40"), None);
        assert_eq!(masked("nobody"), None);
    }
}
