//! Host names to addresses, by DNS.

use super::interface::Interface;
use super::{Net, NetError};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::Poll;
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, StartQueryError};
use smoltcp::wire::{DnsQueryType, IpAddress};

/// A question that is cancelled when nobody waits for the answer any more.
struct Question {
    interface: Rc<Interface>,
    query: Option<QueryHandle>,
}

impl Net {
    /// The addresses of a host: those of a name, or the one it is. smoltcp's patience is ten
    /// seconds for each name server.
    ///
    /// # Errors
    /// No such name, or nobody to ask.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddress>, NetError> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Vec::from([address.into()]));
        }
        let asks = |interface: &&Rc<Interface>| {
            interface.has_address() && interface.stack(|stack| !stack.name_servers.is_empty())
        };
        let interfaces = self.interfaces();
        let interface = interfaces.iter().find(asks).ok_or(NetError::NoNameServer)?;
        let mut found = Vec::new();
        for kind in [DnsQueryType::A, DnsQueryType::Aaaa] {
            match ask(interface, host, kind).await {
                Ok(addresses) => found.extend(addresses),
                Err(NetError::NoSuchName) => {}
                Err(error) => return Err(error),
            }
            // One that was found is enough.
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(NetError::NoSuchName)
    }
}

async fn ask(
    interface: &Rc<Interface>,
    host: &str,
    kind: DnsQueryType,
) -> Result<Vec<IpAddress>, NetError> {
    let begun = interface.dns(|socket, context| socket.start_query(context, host, kind));
    let query = begun.map_err(|error| match error {
        StartQueryError::NoFreeSlot => NetError::LimitReached,
        StartQueryError::InvalidName | StartQueryError::NameTooLong => NetError::BadName,
    })?;
    let mut question = Question { interface: interface.clone(), query: Some(query) };
    interface.kick();
    poll_fn(|context| {
        let result = interface.dns(|socket, _| match socket.get_query_result(query) {
            Err(GetQueryResultError::Pending) => {
                socket.register_query_waker(query, context.waker());
                Poll::Pending
            }
            Err(GetQueryResultError::Failed) => Poll::Ready(Err(NetError::NoSuchName)),
            Ok(addresses) => Poll::Ready(Ok(addresses.into_iter().collect())),
        });
        if result.is_ready() {
            question.query = None;
        }
        result
    })
    .await
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(query) = self.query.take() {
            self.interface.dns(|socket, _| socket.cancel_query(query));
        }
    }
}
