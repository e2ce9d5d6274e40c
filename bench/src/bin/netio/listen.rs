//! An echo server: TCP connections and datagrams, each in a task of its own.

use alloc::vec;

use bench::println;
use bench::runtime::executor::{sleep, spawn};
use bench::runtime::net::{Network, TcpListener, TcpStream, UdpSocket};

use crate::{Asked, Why, why};

/// Connections that may wait.
const BACKLOG: u16 = 8;
/// Longest datagram.
const DATAGRAM: usize = 8192;

/// Serves for ever, or as long as was asked.
pub async fn serve(network: &Network, asked: &Asked, port: u16) -> Result<(), Why> {
    let listener = network.listen(port, BACKLOG).map_err(why)?;
    let socket = network.bind_with(port, asked.setup).await.map_err(why)?;
    println!("echo on port {port}");
    let datagrams = spawn("datagrams", echo_datagrams(socket));
    let connections = spawn("connections", accept(listener, asked.setup));
    match asked.ms {
        Some(ms) => {
            sleep(ms * 1_000_000).await;
            Ok(())
        }
        None => {
            connections.await.map_err(why)??;
            datagrams.await.map_err(why)?
        }
    }
}

async fn accept(listener: TcpListener, setup: bench::runtime::net::Setup) -> Result<(), Why> {
    loop {
        let stream = listener.accept_with(setup).await.map_err(why)?;
        spawn("echo", async move {
            let peer = stream.peer();
            if let Err(why) = echo(&stream).await {
                println!("{peer:?}: {why}");
            }
        })
        .detach();
    }
}

async fn echo(stream: &TcpStream) -> Result<(), Why> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        match stream.read(&mut bytes).await.map_err(why)? {
            0 => return stream.shutdown().await.map_err(why),
            count => stream.write_all(&bytes[..count]).await.map_err(why)?,
        }
    }
}

async fn echo_datagrams(socket: UdpSocket) -> Result<(), Why> {
    let mut bytes = vec![0; DATAGRAM];
    loop {
        let (count, from) = socket.receive(&mut bytes).await.map_err(why)?;
        let count = count.min(bytes.len());
        socket.send_to(&bytes[..count], from).await.map_err(why)?;
    }
}
