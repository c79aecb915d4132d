"""Microcontroller boards that run the production firmware, instruction by instruction.

    image      the firmware's ELF file: built when needed, read
    machine    the processor (Unicorn), its clock, interrupts, resets and faults
    blocks     what a peripheral is; the processor's own ones
    flash      flash memory: programming rules, power cuts
    uart, pins, devices    the outside: serial lines, levels, sensors on the buses
    stm32*, ...            each part's peripherals
    board      all of it on one table: `Board("stm32f405")`
    workbench  a board at the end of a gateway's link, in the board's time

Unicorn and pyelftools come with the development dependencies. Time is the machine's own and runs as
fast as it can; `python -m sim.boards` holds it to the wall clock. Deliberately not here: anything
that only a mesh needs.
"""
