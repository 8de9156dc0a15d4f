//! IP addresses and networks: where an address leads, seen from a pod, and whether a network covers it.
//!
//! An address inside another address (IPv4-mapped, IPv4-compatible, NAT64, 6to4, ISATAP) leads where the inner one
//! does: whoever connects unwraps it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address or a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Out of the cluster, to an address that everybody shares.
    Public,
    /// To an address or a name of a site's inside (RFC 1918, RFC 6598, RFC 4193; `.internal` and the like).
    Private,
    /// To a name of the cluster's inside.
    Cluster,
    /// To the pod itself.
    Loopback,
    /// To the node's own network, where the metadata services of clouds are.
    LinkLocal,
    /// To a cloud's metadata service, which hands out credentials of the node.
    Metadata,
    /// To no address in particular, which connects to the pod itself.
    Unspecified,
    /// To an address that no host has: multicast, broadcast, reserved, for documentation.
    Special,
}

impl Place {
    /// What a target must be instead; for [`Place::Public`] there is nothing to say.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Public => "must be a public address",
            Self::Private => "must not lead to a private address",
            Self::Cluster => "must not lead to the inside of the cluster",
            Self::Loopback => "must not lead to a loopback address",
            Self::LinkLocal => "must not lead to a link-local address",
            Self::Metadata => "must not lead to a metadata service",
            Self::Unspecified => "must not lead to an unspecified address",
            Self::Special => "must not lead to a multicast, reserved or documentation address",
        }
    }

    /// Whether somebody who may decide it can allow the place. The others are never the address of a server.
    pub fn can_be_allowed(self) -> bool {
        matches!(self, Self::Public | Self::Private | Self::Cluster)
    }
}

/// Where an address leads.
pub fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

/// The metadata services that are not (only) at a link-local address: of AWS, Azure, Alibaba and Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same in IPv6, of AWS (two) and Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    if METADATA_V4.contains(&address) {
        return Place::Metadata;
    }
    match (a, b, c) {
        (0, _, _) => Place::Unspecified,
        (127, _, _) => Place::Loopback,
        (169, 254, _) => Place::LinkLocal,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Place::Private,
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Place::Special
        }
        (224..=255, _, _) => Place::Special,
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if METADATA_V6.contains(&address) {
        return Place::Metadata;
    }
    if address.is_loopback() {
        return Place::Loopback;
    }
    if address.is_unspecified() {
        return Place::Unspecified;
    }
    let inner = embedded(address).map_or(Place::Public, place_v4);
    if inner != Place::Public {
        return inner;
    }
    let [a, b, c, ..] = address.segments();
    match (a, b, c) {
        (0xfe80..=0xfebf, _, _) => Place::LinkLocal,
        // A locally used NAT64 prefix says nothing of where the inner address is.
        (0xfc00..=0xfdff, _, _) | (0x64, 0xff9b, 1) => Place::Private,
        // Deprecated site-local, multicast, Teredo, benchmarks, ORCHID, documentation.
        (0xfec0..=0xffff, _, _)
        | (0x2001, 0..=2 | 0x10..=0x2f | 0xdb8, _)
        | (0x3fff, 0..=0xfff, _) => Place::Special,
        // What is not global unicast has nobody at it; an inner public address is the exception.
        _ if a & 0xe000 != 0x2000 && embedded(address).is_none() => Place::Special,
        _ => Place::Public,
    }
}

/// The IPv4 address in an IPv6 address, for every way of putting one there.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let inner = |at: usize| {
        let [one, two] = parts[at].to_be_bytes();
        let [three, four] = parts[at + 1].to_be_bytes();
        Some(Ipv4Addr::new(one, two, three, four))
    };
    match parts {
        // Mapped (::ffff:1.2.3.4), compatible (::1.2.3.4), translated (::ffff:0:1.2.3.4), NAT64, ISATAP.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => inner(6),
        // 6to4.
        [0x2002, ..] => inner(1),
        _ => None,
    }
}

/// A network in CIDR notation, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or an address alone. `None` for anything else, also where bits behind the prefix
    /// are set: some readers take such a text for the address, others for the network.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = widest(address);
        let length = match length {
            Some(digits) => {
                let plain = digits.bytes().all(|b| b.is_ascii_digit())
                    && (digits == "0" || !digits.starts_with('0'));
                plain.then(|| digits.parse().ok()).flatten()?
            }
            None => widest,
        };
        let network = Self { address, length };
        let whole = length <= widest && bits(address) & !mask(length) == 0;
        whole.then_some(network)
    }

    /// How many bits are fixed.
    pub fn prefix_length(&self) -> u8 {
        self.length
    }

    /// Whether the network is every address of its family.
    pub fn is_everything(&self) -> bool {
        self.length == 0
    }

    /// Whether the address is in the network. An IPv4-mapped address is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & mask(self.length) == bits(self.address)
    }

    /// Whether every address of this network is in the other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.length >= other.length
            && self.address.is_ipv4() == other.address.is_ipv4()
            && bits(self.address) & mask(other.length) == bits(other.address)
    }

    /// Whether every address of this network is private: only such an entry says that private addresses are meant.
    pub fn is_private(&self) -> bool {
        const PRIVATE: [(IpAddr, u8); 5] = [
            (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
            (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
            (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
            (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
            (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
        ];
        PRIVATE
            .into_iter()
            .any(|(address, length)| self.is_within(&Self { address, length }))
    }
}

fn widest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number, from the highest bit down.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first bits of an address.
fn mask(length: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_where_its_range_says() {
        for (text, expected) in [
            ("8.8.8.8", Place::Public),
            ("10.1.2.3", Place::Private),
            ("172.15.0.1", Place::Public),
            ("172.31.255.255", Place::Private),
            ("192.168.1.1", Place::Private),
            ("100.64.0.1", Place::Private),
            ("127.8.8.8", Place::Loopback),
            ("0.0.0.0", Place::Unspecified),
            ("0.1.2.3", Place::Unspecified),
            ("169.254.1.1", Place::LinkLocal),
            ("169.254.169.254", Place::Metadata),
            ("168.63.129.16", Place::Metadata),
            ("224.0.0.1", Place::Special),
            ("255.255.255.255", Place::Special),
            ("203.0.113.9", Place::Special),
            ("::", Place::Unspecified),
            ("::1", Place::Loopback),
            ("2606:4700::1111", Place::Public),
            ("fd12::1", Place::Private),
            ("fd00:ec2::254", Place::Metadata),
            ("fe80::1", Place::LinkLocal),
            ("fec0::1", Place::Special),
            ("ff02::1", Place::Special),
            ("2001:db8::1", Place::Special),
            ("4000::1", Place::Special),
            ("64:ff9b:1::1", Place::Private),
            ("64:ff9b::808:808", Place::Public),
        ] {
            assert_eq!(place(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn an_address_inside_another_leads_where_the_inner_one_does() {
        for text in [
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::1",
            "2001:4860::5efe:127.0.0.1",
            "2001:4860::200:5efe:127.0.0.1",
        ] {
            assert_eq!(place(text.parse().unwrap()), Place::Loopback, "{text}");
        }
    }

    #[test]
    fn a_network_contains_what_begins_with_its_prefix() {
        let ten = Network::parse("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()));
        assert!(ten.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(!ten.contains("a00::1".parse().unwrap()));
        let all = Network::parse("0.0.0.0/0").unwrap();
        assert!(all.is_everything() && all.contains("1.2.3.4".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        assert!(ten.is_within(&all) && !all.is_within(&ten));
        assert!(ten.is_private() && !all.is_private());
        let one = Network::parse("fd00::7").unwrap();
        assert!(one.contains("fd00::7".parse().unwrap()) && one.is_private());
    }

    #[test]
    fn what_is_not_exactly_a_network_is_none() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0/8",
            "fd00::/129",
            "fd00::1/8",
            "example.com",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
