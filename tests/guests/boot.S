# A guest in one sector: what a test needs of an operating system, and nothing else.
#
# It says "ready" on COM1, sleeps in HLT until the ACPI power button is pressed (or its own time is over), says "button",
# takes as long as it was told, says "off" and powers off through ACPI S5. The parameter block at the end is patched by
# support.guests.boot_sector(); its offsets are part of that interface.
#
# The ports are those that SeaBIOS gives QEMU's `pc` and `q35` machines (ACPI 6.5, section 4.8.3, "PM1 event grouping"):
#   0x600 PM1 status, 0x602 PM1 enable, 0x604 PM1 control. Bit 8 of the first two is the power button.
# QEMU latches the button only while its enable bit is set, so a press before "ready" is lost: as with a real system.

        .code16
        .globl _start

        .set    COM1,       0x3f8
        .set    PM1_STATUS, 0x600
        .set    PM1_ENABLE, 0x602
        .set    PM1_CONTROL, 0x604
        .set    POWER_BUTTON, 0x100
        .set    SOFT_OFF,   0x2000          # SLP_EN with SLP_TYP 0, which is S5 on both machines
        .set    SLEEP,    0x2400            # SLP_EN with SLP_TYP 1, which is S3
        .set    PVPANIC,    0x505
        .set    PIC1, 0x21                  # data ports: a set bit masks a line
        .set    PIC2, 0xa1
        .set    TICKS_OFF, 0xfb             # only the cascade (line 2) ...
        .set    TICKS_ON,  0xfa             # ... and the timer (line 0), while something is counted
        .set    TICK, 11932                 # 1193182 Hz / 11932: one tick is 10 ms

_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $_start, %sp
        ljmp    $0, $begin
begin:
        cld
        movw    $on_tick, 8 * 4             # line 0 of the first controller
        movw    %ax, 8 * 4 + 2
        movw    $on_button, 0x71 * 4        # line 1 of the second one: IRQ 9, the ACPI interrupt
        movw    %ax, 0x71 * 4 + 2
        movb    $TICKS_OFF, %al
        outb    %al, $PIC1
        movb    $0xfd, %al
        outb    %al, $PIC2

        movw    ready_after, %cx
        call    pause
        movw    $POWER_BUTTON, %ax
        movw    $PM1_STATUS, %dx            # a one clears the bit
        outw    %ax, %dx
        movw    $PM1_ENABLE, %dx
        outw    %ax, %dx
        movw    $ready, %si
        call    say

        movw    exit_after, %cx
        jcxz    idle
        call    count
idle:                                       # `sti` takes effect after the next instruction: no wake-up is lost before `hlt`
        cli
        cmpb    $0, pressed
        jne     closing
        cmpb    $0, expired
        jne     ending
        sti
        hlt
        jmp     idle
closing:
        movw    delay, %cx
        call    pause

ending:
        cli
        movb    how, %al
        cmpb    $1, %al
        je      crash
        cmpb    $2, %al
        je      reset
        cmpb    $3, %al
        je      hang
        cmpb    $4, %al
        jne     soft_off
        cmpb    $0, pressed                 # at the button it powers off
        je      sleep
soft_off:
        movw    $off, %si
        call    say
        movw    $PM1_CONTROL, %dx
        movw    $SOFT_OFF, %ax
        outw    %ax, %dx
        jmp     hang
sleep:                                      # and wakes with a boot: it leaves no waking vector
        movw    $PM1_CONTROL, %dx
        movw    $SLEEP, %ax
        outw    %ax, %dx
hang:
        cli
        hlt
        jmp     hang

crash:                                      # tell pvpanic; where there is none (an empty port reads as ones), fall over
        movw    $PVPANIC, %dx
        inb     %dx, %al
        incb    %al
        jz      reset
        movb    $1, %al
        outb    %al, %dx
        jmp     hang
reset:                                      # no interrupt table and then an interrupt: a triple fault
        lidtw   nothing
        int3

# Waits for %cx ticks; the button goes on being heard.
pause:
        movb    $0, expired
        jcxz    2f
        call    count
1:      cli
        cmpb    $0, expired
        jne     2f
        sti
        hlt
        jmp     1b
2:      movb    $0, expired
        ret

# Starts to count %cx ticks; `expired` tells of the end.
count:
        movb    $TICKS_ON, %al
        outb    %al, $PIC1
        sti                                 # a tick that the firmware left pending is taken, and ignored, here
        nop
        nop
        cli
        movb    $0x34, %al                  # channel 0, both bytes, rate generator: loading it restarts it
        outb    %al, $0x43
        movb    $(TICK & 0xff), %al
        outb    %al, $0x40
        movb    $(TICK >> 8), %al
        outb    %al, $0x40
        movw    %cx, left
        ret

# Says the line at %si.
say:
        lodsb
        testb   %al, %al
        jz      2f
        movb    %al, %ah
        movw    $COM1 + 5, %dx
1:      inb     %dx, %al
        testb   $0x20, %al                  # the transmitter is empty
        jz      1b
        movb    %ah, %al
        movw    $COM1, %dx
        outb    %al, %dx
        jmp     say
2:      ret

on_tick:
        pushw   %ax
        cmpw    $0, left
        je      1f
        decw    left
        jnz     1f
        movb    $1, expired
        movb    $TICKS_OFF, %al
        outb    %al, $PIC1
1:      movb    $0x20, %al
        outb    %al, $0x20
        popw    %ax
        iretw

on_button:
        pushaw
        movw    $PM1_STATUS, %dx            # acknowledge first: the line is level triggered on some machines
        movw    $POWER_BUTTON, %ax
        outw    %ax, %dx
        movw    $button, %si
        call    say
        movb    ignore, %al
        cmpb    $0xff, %al                  # deaf for ever
        je      2f
        cmpb    $0, %al
        je      1f
        decb    ignore
        jmp     2f
1:      movb    $1, pressed
2:      movb    $0x20, %al
        outb    %al, $0xa0
        outb    %al, $0x20
        popaw
        iretw

ready:  .asciz  "ready\r\n"
button: .asciz  "button\r\n"
off:    .asciz  "off\r\n"
nothing: .word  0, 0, 0
left:   .word   0
pressed: .byte  0
expired: .byte  0

        .org    0x1e0                       # the parameters: times in ticks of 10 ms
        .ascii  "VGST"
delay:  .word   0                           # from the button to the end
ready_after: .word 0                        # from power-on to "ready"
exit_after: .word 0                         # from "ready" to the end, without any button; 0 is never
ignore: .byte   0                           # presses to ignore; 255 is all of them
how:    .byte   0                           # the end: 0 off, 1 crash, 2 reset, 3 hang, 4 sleep

        .org    0x1fe
        .word   0xaa55
