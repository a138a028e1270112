//! Ports of the host that lead to a workload.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::BadValue;
use crate::kernel::unit::bad;

/// A port of the host that leads to one of the workload's: docker's `[IP:]HOST:CONTAINER[/tcp|/udp]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The host's address that listens; all of them where absent.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The workload's.
    pub container: u16,
    /// What is carried.
    pub protocol: Protocol,
}

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl FromStr for Publish {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (ports, protocol) = match text.rsplit_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => {
                return bad(format!(
                    "`{other}` is no protocol here; there are tcp and udp"
                ));
            }
        };
        let Some((host, container)) = ports.rsplit_once(':') else {
            return bad(format!(
                "`{text}` lacks one of its ports; write HOST:CONTAINER, such as 8080:80"
            ));
        };
        let (address, host) = match host.rsplit_once(':') {
            None => (None, host),
            Some((address, host)) => {
                let bare = address.trim_start_matches('[').trim_end_matches(']');
                match bare.parse() {
                    Ok(address) => (Some(address), host),
                    Err(_) => return bad(format!("`{address}` is no address of the host's")),
                }
            }
        };
        Ok(Self {
            address,
            host: port(host)?,
            container: port(container)?,
            protocol,
        })
    }
}

fn port(text: &str) -> Result<u16, BadValue> {
    match text.parse() {
        Ok(0) | Err(_) => bad(format!("`{text}` is no port; there are 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(out, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(out, "{address}:")?,
            None => {}
        }
        write!(out, "{}:{}", self.host, self.container)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => out.write_str("/udp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_what_docker_takes() {
        for (word, back) in [
            ("8080:80", "8080:80"),
            ("8080:80/tcp", "8080:80"),
            ("53:5353/udp", "53:5353/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80"),
            ("[::1]:8080:80/udp", "[::1]:8080:80/udp"),
        ] {
            let port: Publish = word.parse().unwrap();
            assert_eq!(port.to_string(), back);
            assert_eq!(back.parse::<Publish>().unwrap(), port);
        }
        for word in [
            "",
            "80",
            "0:80",
            "80:0",
            "80:65536",
            "a:b",
            "80:80/sctp",
            "localhost:80:80",
            "80:80/tcp/udp",
        ] {
            word.parse::<Publish>().unwrap_err();
        }
    }
}
