//! Echo requests: is it there, and how far away.

use super::interface::Interface;
use super::{Net, NetError, time};
use crate::platform::Pollux;
use alloc::rc::Rc;
use alloc::vec;
use core::future::poll_fn;
use core::task::Poll;
use hal::clock::Ticks;
use hal::x86_64::time::clock::now;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

/// Most bytes of an echo request beside its header.
pub const PAYLOAD_MAX: usize = 1400;
/// ICMP's own header.
const HEADER: usize = 8;

/// A socket that is gone when nobody waits for the reply any more.
struct Socket {
    interface: Rc<Interface>,
    handle: SocketHandle,
}

impl Net {
    /// Sends an echo request of `payload` bytes to `to`, and waits at most `limit_ms` for the
    /// reply. How long it took.
    ///
    /// # Errors
    /// No way there, or no reply in time.
    pub async fn ping(
        &self,
        to: IpAddress,
        sequence: u16,
        payload: usize,
        limit_ms: u64,
    ) -> Result<Ticks, NetError> {
        if payload > PAYLOAD_MAX {
            return Err(NetError::TooLong);
        }
        let interface = self.interface_for(to)?;
        let ident = super::random_u64() as u16;
        let buffer = || {
            let metadata = vec![icmp::PacketMetadata::EMPTY; 4];
            icmp::PacketBuffer::new(metadata, vec![0; 4 * (PAYLOAD_MAX + HEADER)])
        };
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(ident)).map_err(|_| NetError::LimitReached)?;
        let handle = interface.insert(socket).ok_or(NetError::LimitReached)?;
        let socket = Socket { interface, handle };
        let data = vec![0x50; payload];
        let sent = now();
        socket.request(to, ident, sequence, &data)?;
        let reply = poll_fn(|context| {
            socket.interface.stack(|stack| {
                stack.with(socket.handle, |socket: &mut icmp::Socket, _| {
                    while let Ok((bytes, from)) = socket.recv() {
                        if from == to && is_reply(bytes, from, sequence, &data) {
                            return Poll::Ready(now());
                        }
                    }
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                })
            })
        });
        let arrived = executor::timeout::<Pollux, _>(time::after_ms(limit_ms), reply).await;
        Ok(Ticks(arrived.map_err(|_| NetError::TimedOut)?.saturating_sub(sent)))
    }
}

impl Socket {
    fn request(&self, to: IpAddress, ident: u16, seq_no: u16, data: &[u8]) -> Result<(), NetError> {
        let checksums = ChecksumCapabilities::default();
        self.interface.stack(|stack| {
            let source = stack.ip.get_source_address(&to).ok_or(NetError::NoRoute(to))?;
            let socket: &mut icmp::Socket = stack.sockets.get_mut(self.handle);
            let room = socket.send(HEADER + data.len(), to).map_err(|_| NetError::BadAddress)?;
            match (source, to) {
                (IpAddress::Ipv6(source), IpAddress::Ipv6(to)) => {
                    let request = Icmpv6Repr::EchoRequest { ident, seq_no, data };
                    let mut packet = Icmpv6Packet::new_unchecked(room);
                    request.emit(&source, &to, &mut packet, &checksums);
                }
                _ => {
                    let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
                    request.emit(&mut Icmpv4Packet::new_unchecked(room), &checksums);
                }
            }
            Ok::<(), NetError>(())
        })?;
        self.interface.kick();
        Ok(())
    }
}

/// Whether `bytes` answer the request. Their checksum was checked before they came here.
fn is_reply(bytes: &[u8], from: IpAddress, sequence: u16, sent: &[u8]) -> bool {
    let unchecked = ChecksumCapabilities::ignored();
    match from {
        IpAddress::Ipv4(_) => Icmpv4Packet::new_checked(bytes)
            .and_then(|packet| match Icmpv4Repr::parse(&packet, &unchecked)? {
                Icmpv4Repr::EchoReply { seq_no, data, .. } => {
                    Ok(seq_no == sequence && data == sent)
                }
                _ => Ok(false),
            })
            .unwrap_or(false),
        IpAddress::Ipv6(address) => Icmpv6Packet::new_checked(bytes)
            .and_then(|packet| match Icmpv6Repr::parse(&address, &address, &packet, &unchecked)? {
                Icmpv6Repr::EchoReply { seq_no, data, .. } => {
                    Ok(seq_no == sequence && data == sent)
                }
                _ => Ok(false),
            })
            .unwrap_or(false),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.interface.remove(self.handle);
    }
}
