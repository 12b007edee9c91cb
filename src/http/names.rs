//! Under which names and addresses this machine is reached.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ptr,
};

/// The names that a certificate for a listener needs: the machine's own, `localhost`, and the addresses it listens on.
pub(super) fn of(listen: SocketAddr) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost".to_owned()]);
    names.extend(host());
    match listen.ip() {
        ip if ip.is_unspecified() => names.extend(addresses().iter().map(ToString::to_string)),
        ip => drop(names.insert(ip.to_string())),
    }
    names
}

/// The machine's name, if it can stand in a certificate.
fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_lowercase();
    let usable = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.');
    ((1..=253).contains(&name.len()) && name.chars().all(usable)).then_some(name)
}

/// Every address of this machine but those that need a zone (fe80::/10).
fn addresses() -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::from([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `first` is a valid place for the list's head; the list is read only if the call says that it made one.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return found;
    }
    let mut next = first;
    // SAFETY: getifaddrs(3) gives a list that ends with null and is ours until freeifaddrs.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: `ifa_addr` is null or a socket address of the family it names.
        found.extend(unsafe { address(entry.ifa_addr) });
        next = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    found
}

/// # Safety
/// `socket` is null or points to a socket address of the family that it names.
unsafe fn address(socket: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises.
    let family = i32::from(unsafe { socket.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that it is one; the copy needs no alignment.
            let v4 = unsafe { socket.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one; the copy needs no alignment.
            let v6 = unsafe { socket.cast::<libc::sockaddr_in6>().read_unaligned() };
            let v6 = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            (!v6.is_unicast_link_local()).then_some(v6.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_itself_and_any_address_names_all_of_the_machine() {
        let one = of(([192, 0, 2, 7], 443).into());
        assert!(one.contains("192.0.2.7") && one.contains("localhost") && !one.contains("127.0.0.1"), "{one:?}");
        let all = of(([0, 0, 0, 0], 443).into());
        assert!(all.contains("127.0.0.1") && all.contains("::1") && !all.contains("0.0.0.0"), "{all:?}");
    }
}
