//! Starting a program: a new address space with the image, a stack, the start information,
//! capabilities and one thread.

use super::image::Image;
use super::object::{Capability, ConsoleObject, LogObject, Object, ReportObject};
use super::thread::{Start, Thread};
use super::{Process, image};
use crate::gateway::slow::core_of;
use crate::platform;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use executor::CoreId;
use hal::memory::regions::Range;
use hal::x86_64::user::copy;
use protocols::abi::start::{
    ARG_BYTES_MAX, ARGS_MAX, HANDLES_MAX, Slice, SpawnArgs, StartHandle, StartInfo, tag,
};
use protocols::abi::{ABI_VERSION, Error, Handle, PAGE, Protection, Rights, USER_END};

/// Bytes of a main thread's stack: start information at the top, a guard below (nothing is mapped
/// there).
const STACK_BYTES: u64 = 64 * 1024;
const STACK_TOP: u64 = USER_END - 16 * PAGE as u64;

/// What a new process is given.
#[derive(Debug)]
pub struct Request {
    /// The job it belongs to; `None`: one of its own.
    pub job: Option<u32>,
    /// Where its main thread lives.
    pub core: CoreId,
    /// Its arguments; the first is its name.
    pub arguments: Vec<String>,
    /// Its capabilities, with the parent's tag for each.
    pub capabilities: Vec<(Capability, u32)>,
}

impl Request {
    /// What the kernel gives a program it starts itself: console, log, report, the disks it is to
    /// have, by name, and all the images.
    pub fn from_kernel(
        name: &str,
        arguments: &[String],
        disks: Vec<(String, Capability)>,
        core: CoreId,
    ) -> Self {
        let write = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
        let mut capabilities = vec![
            (Capability::new(Object::Console(Arc::new(ConsoleObject)), write), tag::CONSOLE),
            (Capability::new(Object::Log(Arc::new(LogObject)), write), tag::LOG),
            (Capability::new(Object::Report(Arc::new(ReportObject)), write), tag::REPORT),
        ];
        let mut words = vec![String::from(name)];
        words.extend_from_slice(&arguments[..arguments.len().min(ARGS_MAX - 1)]);
        if words.len() <= arguments.len() {
            log::warn!("program `{name}`: only {} of its arguments fit", words.len() - 1);
        }
        for (number, (disk, capability)) in disks.into_iter().enumerate() {
            if capabilities.len() == HANDLES_MAX || words.len() == ARGS_MAX {
                log::warn!("program `{name}`: no room to give it disk `{disk}` and later ones");
                break;
            }
            words.push(format!("disk={disk}:{number}"));
            capabilities.push((capability, tag::DISK + number as u32));
        }
        for (number, image) in image::all().iter().enumerate() {
            if capabilities.len() == HANDLES_MAX || words.len() == ARGS_MAX {
                log::warn!(
                    "program `{name}`: no room to give it image `{}` and later ones",
                    image.name
                );
                break;
            }
            let rights = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
            capabilities.push((
                Capability::new(Object::Image(image.clone()), rights),
                tag::IMAGE + number as u32,
            ));
            words.push(format!("image={}:{number}", image.name));
        }
        Self { job: None, core, arguments: words, capabilities }
    }

    /// What a process asks for its child, out of its own memory and table.
    pub fn from_ring3(parent: &Thread, asked: &SpawnArgs) -> Result<Self, Error> {
        let (arg_count, handle_count) = (asked.arg_count as usize, asked.handle_count as usize);
        if arg_count > ARGS_MAX || handle_count > HANDLES_MAX || asked.reserved != 0 {
            return Err(Error::InvalidArgument);
        }
        let core = core_of(asked.core)?;
        let mut arguments = Vec::with_capacity(arg_count);
        let mut total = 0;
        parent.process.space.activate();
        for slice in &asked.args[..arg_count] {
            total += usize::try_from(slice.len)
                .map_err(|_| Error::InvalidArgument)?
                .min(ARG_BYTES_MAX + 1);
            if total > ARG_BYTES_MAX {
                return Err(Error::InvalidArgument);
            }
            let mut bytes = vec![0; slice.len as usize];
            copy::from_user(&mut bytes, slice.ptr)?;
            arguments.push(String::from_utf8(bytes).map_err(|_| Error::InvalidArgument)?);
        }
        let wanted = &asked.handles[..handle_count];
        for (at, handle) in wanted.iter().enumerate() {
            let (_, rights) = parent.process.handles.inspect(handle.handle())?;
            if !rights.contains(Rights::TRANSFER) {
                return Err(Error::NotPermitted);
            }
            if wanted[..at].iter().any(|other| other.handle == handle.handle) {
                return Err(Error::InvalidArgument);
            }
        }
        let mut capabilities = Vec::with_capacity(handle_count);
        for handle in wanted {
            capabilities.push((
                parent.process.handles.remove(handle.handle(), Rights::TRANSFER)?,
                handle.tag,
            ));
        }
        Ok(Self { job: Some(parent.process.job), core, arguments, capabilities })
    }
}

/// Starts `image`. On error nothing is left of the attempt (the capabilities of the request are
/// gone with it).
pub async fn start(image: &Image, request: Request) -> Result<Arc<Process>, Error> {
    let plan = image.plan().map_err(|error| {
        log::warn!("program `{}` can't be run: {error}", image.name);
        Error::BadImage
    })?;
    let process = Process::new(&image.name, request.job)?;
    let (core, started) = (request.core, prepare(&process, &plan, request));
    match started.and_then(|start| process.spawn_thread(core, start)) {
        Ok(_thread) => Ok(process),
        Err(error) => {
            process.abandon().await;
            Err(error)
        }
    }
}

/// Fills a new process; what its main thread starts with.
fn prepare(
    process: &Arc<Process>,
    plan: &protocols::image::Image<'_>,
    request: Request,
) -> Result<Start, Error> {
    for segment in plan.segments() {
        process.space.load(&segment)?;
    }
    let own = Capability::new(super::object::Object::Process(process.clone()), Rights::DUPLICATE);
    let mut info = StartInfo {
        abi: ABI_VERSION,
        cores: platform::core_count() as u32,
        tsc_hz: crate::clock::frequency(),
        arg_count: request.arguments.len() as u32,
        handle_count: 0,
        args: [Slice::default(); ARGS_MAX],
        handles: [StartHandle::default(); HANDLES_MAX],
    };
    let mut given = request.capabilities;
    if given.len() < HANDLES_MAX {
        given.push((own, tag::SELF));
    }
    for (slot, (capability, tag)) in info.handles.iter_mut().zip(given) {
        let handle: Handle = process.handles.insert(capability).map_err(|_| Error::LimitReached)?;
        *slot = StartHandle { handle: handle.0, tag };
        info.handle_count += 1;
    }
    // Top of the stack, downwards: the arguments' bytes, the start information, what a call would
    // have pushed.
    let text: usize = request.arguments.iter().map(String::len).sum();
    let info_at = (STACK_TOP - text as u64 - size_of::<StartInfo>() as u64) & !15;
    let mut top = vec![0; (STACK_TOP - info_at) as usize];
    let mut at = size_of::<StartInfo>();
    for (slot, argument) in info.args.iter_mut().zip(&request.arguments) {
        *slot = Slice { ptr: info_at + at as u64, len: argument.len() as u64 };
        top[at..at + argument.len()].copy_from_slice(argument.as_bytes());
        at += argument.len();
    }
    top[..size_of::<StartInfo>()].copy_from_slice(&info.to_bytes());
    let range = Range { start: STACK_TOP - STACK_BYTES, end: STACK_TOP };
    process.space.map_filled(range, Protection::READ | Protection::WRITE, info_at, &top)?;
    Ok(Start { entry: plan.entry, stack: info_at - 8, argument: info_at, tls: 0 })
}
