//! Starting a program: a new address space with the image, a stack, the start information,
//! capabilities and one thread.

use super::calls::core_of;
use super::image::Image;
use super::memory::MemoryObject;
use super::object::{ConsoleObject, LogObject, Object};
use super::thread::{Start, Thread};
use super::{Process, image, limits};
use crate::authority::{self, Capability, Gift};
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
    ARG_BYTES_MAX, ARGS_MAX, HANDLES_MAX, Limits, Slice, SpawnArgs, StartHandle, StartInfo, tag,
};
use protocols::abi::{ABI_VERSION, Error, Handle, PAGE, Protection, Rights, USER_END};
use protocols::axiom::{Budget, Cause};

/// Bytes of a main thread's stack: start information at the top, a guard below (nothing is mapped
/// there).
const STACK_BYTES: u64 = 64 * 1024;
const STACK_TOP: u64 = USER_END - 16 * PAGE as u64;

/// What the kernel gives one program and not another, each with what it is called by.
#[derive(Debug, Default)]
pub struct Given {
    /// Disks.
    pub disks: Vec<(String, Capability)>,
    /// Devices, which are lent.
    pub devices: Vec<(String, Capability)>,
    /// Port ranges.
    pub ports: Vec<(String, Capability)>,
    /// The network.
    pub network: Option<Capability>,
}

/// What a new process is given.
#[derive(Debug)]
pub struct Request {
    /// Whose child it is; `None`: the kernel's.
    pub parent: Option<Arc<Process>>,
    /// What it may use.
    pub budget: Budget,
    /// What it comes of.
    pub cause: Cause,
    /// Where its main thread lives.
    pub core: CoreId,
    /// Its arguments; the first is its name.
    pub arguments: Vec<String>,
    /// Its capabilities, with the parent's tag for each.
    pub capabilities: Vec<(Gift, u32)>,
}

impl Request {
    /// What the kernel gives a program it starts itself: console, log, the disks it is to
    /// have, by name, the network if it is to have it, and all the images.
    pub fn from_kernel(
        name: &str,
        arguments: &[String],
        given: Given,
        core: CoreId,
    ) -> Result<Self, Error> {
        let write = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
        let roots = roots()?;
        let gift = |root: &Arc<Capability>, rights| Gift::Derived(root.clone(), rights);
        let mut capabilities = vec![
            (gift(&roots.console, write), tag::CONSOLE),
            (gift(&roots.log, write | Rights::RECEIVE), tag::LOG),
            (gift(&roots.log, write), tag::REPORT),
        ];
        let mut words = vec![String::from(name)];
        words.extend_from_slice(&arguments[..arguments.len().min(ARGS_MAX - 1)]);
        if words.len() <= arguments.len() {
            log::warn!("program `{name}`: only {} of its arguments fit", words.len() - 1);
        }
        let Given { disks, devices, ports, network } = given;
        capabilities.extend(network.map(|network| (Gift::Whole(network), tag::NET)));
        let kinds = [
            ("disk", tag::DISK, disks),
            ("device", tag::DEVICE, devices),
            ("ports", tag::PORTS, ports),
        ];
        for (kind, first, these) in kinds {
            for (number, (what, capability)) in these.into_iter().enumerate() {
                if capabilities.len() == HANDLES_MAX || words.len() == ARGS_MAX {
                    log::warn!(
                        "program `{name}`: no room to give it {kind} `{what}` and later ones"
                    );
                    break;
                }
                words.push(format!("{kind}={what}:{number}"));
                capabilities.push((Gift::Whole(capability), first + number as u32));
            }
        }
        for (number, (image, root)) in image::all().iter().zip(&roots.images).enumerate() {
            if capabilities.len() == HANDLES_MAX || words.len() == ARGS_MAX {
                log::warn!(
                    "program `{name}`: no room to give it image `{}` and later ones",
                    image.name
                );
                break;
            }
            let rights = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
            capabilities.push((gift(root, rights), tag::IMAGE + number as u32));
            words.push(format!("image={}:{number}", image.name));
        }
        let (budget, cause) = (limits::of_program(), Cause::Kernel);
        Ok(Self { parent: None, budget, cause, core, arguments: words, capabilities })
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
        let process = &parent.process;
        let gifts = wanted.iter().map(|one| (Gift::Of(process.id, one.handle()), one.tag));
        let capabilities = gifts.collect();
        let Limits { frames, threads, handles, messages, reserved } = asked.limits;
        if reserved != 0 {
            return Err(Error::InvalidArgument);
        }
        let mut left = authority::left(process.id).ok_or(Error::PeerGone)?;
        left.frames = process.space.left();
        let budget = limits::of_child(Budget { frames, threads, handles, messages }, left);
        let (parent, cause) = (Some(process.clone()), parent.cause());
        Ok(Self { parent, budget, cause, core, arguments, capabilities })
    }
}

/// What the kernel derives from whatever it gives to every program it starts.
struct Roots {
    console: Arc<Capability>,
    log: Arc<Capability>,
    /// As [`image::all`] has them.
    images: Vec<Arc<Capability>>,
}

fn roots() -> Result<&'static Roots, Error> {
    static ROOTS: spin::Once<Roots> = spin::Once::new();
    ROOTS.try_call_once(|| {
        let root = |object| Capability::create(object, 0).map(Arc::new);
        let images = image::all().iter().map(|image| {
            let program = Object::Memory(Arc::new(MemoryObject::program(image)));
            let pages = image.file.len().div_ceil(PAGE) as u64;
            Capability::create(program, pages).map(Arc::new)
        });
        Ok(Roots {
            console: root(Object::Console(Arc::new(ConsoleObject)))?,
            log: root(Object::Log(Arc::new(LogObject)))?,
            images: images.collect::<Result<_, _>>()?,
        })
    })
}

/// Starts `image`; beside the process, its parent's capability to it, if it has a parent in ring 3. On
/// error nothing is left of the attempt: capabilities that the child had got by then are gone with
/// it.
pub async fn start(
    image: &Image,
    request: Request,
) -> Result<(Arc<Process>, Option<Handle>), Error> {
    let plan = image.plan().map_err(|error| {
        log::warn!("program `{}` can't be run: {error}", image.name);
        Error::BadImage
    })?;
    let (core, cause, parent) = (request.core, request.cause, request.parent.clone());
    let process = Process::new(&image.name, parent.as_ref(), request.budget, cause)?;
    let started = prepare(&process, &plan, request).and_then(|start| {
        // Before it runs: it might be over before its parent can wait for it.
        let all = Rights::all();
        let hold = |parent: Arc<Process>| {
            Ok((authority::hold_process(parent.id, process.id, all, cause)?, parent))
        };
        let held = parent.map(hold).transpose()?;
        match process.new_thread(core, start, cause) {
            Ok(thread) => Ok((thread, held.map(|(handle, _)| handle))),
            Err(error) => {
                if let Some((handle, parent)) = held {
                    let _ = authority::remove(parent.id, handle, cause);
                }
                Err(error)
            }
        }
    });
    match started {
        Ok((thread, handle)) => {
            Process::launch(thread);
            Ok((process, handle))
        }
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
    let mut info = StartInfo {
        abi: ABI_VERSION,
        cores: platform::core_count() as u32,
        tsc_hz: crate::clock::frequency(),
        arg_count: request.arguments.len() as u32,
        handle_count: 0,
        args: [Slice::default(); ARGS_MAX],
        handles: [StartHandle::default(); HANDLES_MAX],
    };
    let mut places = info.handles.iter_mut();
    for (gift, tag) in request.capabilities {
        let Some(place) = places.next() else { break };
        let handle = gift.give(process.id, request.cause)?;
        *place = StartHandle { handle: handle.0, tag };
        info.handle_count += 1;
    }
    if let Some(place) = places.next() {
        let rights = Rights::DUPLICATE;
        let own = authority::hold_process(process.id, process.id, rights, request.cause)?;
        *place = StartHandle { handle: own.0, tag: tag::SELF };
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
