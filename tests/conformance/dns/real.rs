//! unbound from Debian: a caching resolver whose authority is a zone file, on its own port.

use super::{BROKEN, NEGATIVE_SECONDS, Reply, ResolverUnderTest, SILENT, Set, ZONE};
use core::time::Duration;
use phalanx_sim::fakes::dns::{Code, RecordType};
use phalanx_tests::FolderGuardian;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Number of times that unbound is started on another port.
const STARTS_MAX: usize = 5;

const UNBOUND: &str = "/usr/sbin/unbound";
const CONTROL: &str = "/usr/sbin/unbound-control";
/// The time that a query waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The real resolver.
pub(crate) struct Real {
    folder: TempDir,
    /// Kills the server if this process is killed.
    _guardian: FolderGuardian,
    server: Child,
    port: u16,
    serial: u32,
}

impl Default for Real {
    fn default() -> Self {
        for program in [UNBOUND, CONTROL] {
            assert!(
                Path::new(program).is_file(),
                "{program} is missing: run `make tools`, which installs Debian's unbound"
            );
        }
        // A program may take the free port before unbound does; unbound then ends.
        let mut logs = Vec::new();
        while logs.len() < STARTS_MAX {
            match Self::start() {
                Ok(real) => return real,
                Err(log) => logs.push(log),
            }
        }
        panic!("unbound does not start: {logs:?}");
    }
}

impl Real {
    /// Starts unbound on a free port. Returns its log if it ends before it answers.
    fn start() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("ub").tempdir_in("/tmp");
        let folder = folder.expect("a temporary folder can be made");
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("a port is free").port();
        write_configuration(folder.path(), port);
        write_zone(folder.path(), 1, &[]);
        let log = std::fs::File::create(folder.path().join("log")).expect("a log can be made");
        let guardian = FolderGuardian::start(folder.path()).expect("a shell can be started");
        let server = Command::new(UNBOUND)
            .current_dir(folder.path())
            .args(["-d", "-c"])
            .arg(folder.path().join("unbound.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unbound can be started");
        let mut real = Self {
            folder,
            _guardian: guardian,
            server,
            port,
            serial: 1,
        };
        real.wait_until_it_answers()?;
        Ok(real)
    }
}

/// `for-upstream`: answers of the authority enter the cache like those of any other authority.
fn write_configuration(folder: &Path, port: u16) {
    let at = folder.display();
    let text = format!(
        "server:
  directory: \"{at}\"
  chroot: \"\"
  username: \"\"
  pidfile: \"\"
  do-daemonize: no
  use-syslog: no
  logfile: \"\"
  interface: 127.0.0.1@{port}
  do-tcp: no
  do-ip6: no
  so-reuseport: no
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  module-config: \"iterator\"
  do-not-query-localhost: no
  harden-below-nxdomain: no
  rrset-roundrobin: yes
  local-zone: \"test.\" nodefault
  local-zone: \"{SILENT}.\" deny
remote-control:
  control-enable: yes
  control-interface: \"{at}/control\"
  control-use-cert: no
auth-zone:
  name: \"{ZONE}\"
  zonefile: \"{at}/zone\"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
auth-zone:
  name: \"{BROKEN}\"
  primary: 127.0.0.1@9
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"
    );
    std::fs::write(folder.join("unbound.conf"), text).expect("the configuration can be written");
}

fn write_zone(folder: &Path, serial: u32, records: &[Set]) {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n@ 60 IN SOA ns root {serial} 3600 600 86400 {NEGATIVE_SECONDS}\n\
         @ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"
    );
    for record in records {
        text += &match record {
            Set::Address(name, ttl, IpAddr::V4(address)) => {
                format!("{name} {ttl} IN A {address}\n")
            }
            Set::Address(name, ttl, IpAddr::V6(address)) => {
                format!("{name} {ttl} IN AAAA {address}\n")
            }
            Set::Alias(name, ttl, target) if target.ends_with(".test") => {
                format!("{name} {ttl} IN CNAME {target}.\n")
            }
            Set::Alias(name, ttl, target) => format!("{name} {ttl} IN CNAME {target}\n"),
        };
    }
    std::fs::write(folder.join("zone"), text).expect("the zone can be written");
}

impl Real {
    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let reply = self.try_query(
                1,
                "ns.example.test",
                RecordType::A,
                Duration::from_millis(50),
            );
            // Without its control socket, another server gave the answer.
            if reply.code == Code::NoError && self.folder.path().join("control").exists() {
                return Ok(());
            }
            let ended = self.server.try_wait().expect("unbound can be looked at");
            let log =
                || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if ended.is_some() {
                return Err(format!("unbound ended: {}", log()));
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no answer: {}",
                log()
            );
        }
    }

    fn try_query(&self, number: u16, name: &str, kind: RecordType, patience: Duration) -> Reply {
        let mut packet = Packet::new_query(number);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let kind = match kind {
            RecordType::A => TYPE::A,
            RecordType::Aaaa => TYPE::AAAA,
        };
        let name = Name::new(name).expect("a valid name");
        packet
            .questions
            .push(Question::new(name, kind.into(), CLASS::IN.into(), false));
        let bytes = packet.build_bytes_vec().expect("a query can be encoded");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket can be made");
        socket
            .connect(("127.0.0.1", self.port))
            .expect("loopback is there");
        socket
            .set_read_timeout(Some(patience))
            .expect("a time limit can be set");
        socket.send(&bytes).expect("the query can be sent");
        let mut buffer = [0; 4_096];
        // A port on which no process listens yet refuses the query.
        let Ok(length) = socket.recv(&mut buffer) else {
            return Reply {
                code: Code::TimedOut,
                aliases: Vec::new(),
                addresses: Vec::new(),
            };
        };
        read(number, &buffer[..length])
    }
}

fn read(number: u16, bytes: &[u8]) -> Reply {
    let packet = Packet::parse(bytes).expect("an answer can be read");
    assert_eq!(packet.id(), number);
    let code = [
        (RCODE::NoError, Code::NoError),
        (RCODE::NameError, Code::NameError),
        (RCODE::ServerFailure, Code::ServerFailure),
    ]
    .into_iter()
    .find_map(|(theirs, ours)| (theirs == packet.rcode()).then_some(ours))
    .unwrap_or_else(|| panic!("an unexpected code: {:?}", packet.rcode()));
    let (mut aliases, mut addresses) = (Vec::new(), Vec::new());
    for answer in &packet.answers {
        let lower = |name: &Name<'_>| name.to_string().to_ascii_lowercase();
        if let RData::A(a) = &answer.rdata {
            addresses.push((Ipv4Addr::from(a.address).into(), answer.ttl));
        } else if let RData::AAAA(a) = &answer.rdata {
            addresses.push((Ipv6Addr::from(a.address).into(), answer.ttl));
        } else if let RData::CNAME(target) = &answer.rdata {
            aliases.push((lower(&answer.name), lower(&target.0), answer.ttl));
        } else {
            panic!("an unexpected record: {:?}", answer.rdata);
        }
    }
    Reply {
        code,
        aliases,
        addresses,
    }
}

impl ResolverUnderTest for Real {
    fn set(&mut self, records: &[Set]) {
        self.serial += 1;
        write_zone(self.folder.path(), self.serial, records);
        let output = Command::new(CONTROL)
            .arg("-c")
            .arg(self.folder.path().join("unbound.conf"))
            .args(["auth_zone_reload", ZONE])
            .output()
            .expect("unbound-control can be started");
        assert!(output.status.success(), "{output:?}");
    }

    fn query(&mut self, number: u16, name: &str, kind: RecordType) -> Reply {
        self.try_query(number, name, kind, PATIENCE)
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn second(&self) -> (u64, Duration) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the calendar is set");
        (
            now.as_secs(),
            Duration::from_nanos(now.subsec_nanos().into()),
        )
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Killing a server that has already ended gives an error, which is ignored.
        let _ended = self.server.kill();
        let _waited = self.server.wait();
    }
}
