//! The program that the launchers start: its first instructions read the clock, and it reports that on stdout,
//! as a `timespec`. `cargo xtask bench launch` builds it with rustc alone; it is some hundred bytes of code.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!(
        // clock_gettime(CLOCK_MONOTONIC, …)
        "sub rsp, 32",
        "mov eax, 228",
        "mov edi, 1",
        "mov rsi, rsp",
        "syscall",
        // write(1, …, 16)
        "mov eax, 1",
        "mov edi, 1",
        "mov rsi, rsp",
        "mov edx, 16",
        "syscall",
        // exit_group(0)
        "mov eax, 231",
        "xor edi, edi",
        "syscall",
        "ud2",
    )
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
