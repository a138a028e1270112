//! execve of a program that was made ready beforehand.

use std::ffi::{CStr, CString, NulError, c_char};
use std::ptr;

use nix::errno::Errno;

/// A program with its arguments and environment, laid out as execve wants them: running it allocates
/// nothing.
#[derive(Debug)]
pub struct Program {
    /// Where it may be, in order.
    candidates: Vec<CString>,
    argv: Strings,
    envp: Strings,
}

impl Program {
    /// Looks `argv[0]` up in the `PATH` of `env` as `execvpe` does: a name with a slash is a path.
    pub fn new(argv: &[String], env: &[String]) -> Result<Self, NulError> {
        let name = argv.first().map_or("", String::as_str);
        let path = env
            .iter()
            .find_map(|variable| variable.strip_prefix("PATH="))
            .unwrap_or_default();
        let candidates = if name.is_empty() {
            Vec::new()
        } else if name.contains('/') {
            vec![CString::new(name)?]
        } else {
            path.split(':')
                .map(|dir| if dir.is_empty() { "." } else { dir })
                .map(|dir| CString::new(format!("{dir}/{name}")))
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            candidates,
            argv: Strings::new(argv)?,
            envp: Strings::new(env)?,
        })
    }

    /// The same with another value of one variable.
    pub fn with_variable(&self, key: &str, value: &str) -> Result<Self, NulError> {
        let key = format!("{key}=");
        let mut envp = self.envp.owned.clone();
        envp.retain(|variable| !variable.as_bytes().starts_with(key.as_bytes()));
        envp.push(CString::new(key + value)?);
        Ok(Self {
            candidates: self.candidates.clone(),
            argv: Strings::of(self.argv.owned.clone()),
            envp: Strings::of(envp),
        })
    }

    /// Becomes the program. Comes back only with the reason why not: `EACCES` where one was found that
    /// may not be executed, `ENOENT` where none was found.
    pub fn exec(&self) -> Errno {
        let mut answer = Errno::ENOENT;
        for candidate in &self.candidates {
            match execve(candidate, &self.argv, &self.envp) {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => answer = Errno::EACCES,
                other => return other,
            }
        }
        answer
    }
}

fn execve(path: &CStr, argv: &Strings, envp: &Strings) -> Errno {
    // SAFETY: three pointers to NUL-terminated things: a string, and two arrays of strings that end with
    // a null pointer; all outlive the call.
    unsafe {
        libc::execve(
            path.as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
        )
    };
    Errno::last()
}

/// Strings and the null-terminated array of pointers to them.
#[derive(Debug)]
struct Strings {
    /// Keeps alive what `pointers` points to; a `CString`'s bytes do not move with it.
    owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn new(strings: &[String]) -> Result<Self, NulError> {
        let owned: Vec<CString> = strings
            .iter()
            .map(|string| CString::new(string.as_str()))
            .collect::<Result<_, _>>()?;
        Ok(Self::of(owned))
    }

    fn of(owned: Vec<CString>) -> Self {
        let pointers = owned
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self { owned, pointers }
    }
}
