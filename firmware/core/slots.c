#include "slots.h"

#include "bytes.h"
#include "frame.h"

enum {
    HEADER_AT = 0,
    IDENTITY_AT = 32,
    VALID_AT = 128,
    STARTED_AT = 160,
    CONFIRMED_AT = 192,
    NOTES_AT = 2400,
    NOTES = (SLOT_BYTES - NOTES_AT) / FLASH_UNIT,
};

static const uint8_t MAGIC[4] = {'V', 'L', 'F', '1'};
static const uint8_t MARK[4] = {'M', 'A', 'R', 'K'};

/* Fields of the header unit. */
enum { GENERATION = 4, SIZE = 8, COUNTER = 12, CHECKSUM = 16 };

static const uint8_t *base(const struct slots *slots, uint32_t slot)
{
    return hal_slot(slots->self, slot);
}

static uint32_t field(const struct slots *slots, uint32_t slot, uint32_t at)
{
    return get_u32(base(slots, slot) + at);
}

static bool write_unit(const struct slots *slots, uint32_t slot, uint32_t at,
                    const uint8_t unit[FLASH_UNIT])
{
    return hal_program(slots->self, slot, at, unit) &&
           bytes_equal(base(slots, slot) + at, unit, FLASH_UNIT);
}

/* A unit that is a mark for its number; torn ones are not. */
static void make_mark(uint8_t unit[FLASH_UNIT], uint32_t number)
{
    bytes_fill(unit, 0xFF, FLASH_UNIT);
    bytes_copy(unit, MARK, 4);
    put_u32(unit + 4, number);
    put_u32(unit + 8, ~number);
}

static bool mark(const struct slots *slots, uint32_t slot, uint32_t at, uint32_t number)
{
    uint8_t unit[FLASH_UNIT];
    make_mark(unit, number);
    return write_unit(slots, slot, at, unit);
}

static bool is_marked(const uint8_t *unit)
{
    return bytes_equal(unit, MARK, 4) && get_u32(unit + 4) == ~get_u32(unit + 8);
}

static bool is_erased(const uint8_t *unit)
{
    for (uint32_t i = 0; i < FLASH_UNIT; i++)
        if (unit[i] != 0xFF)
            return false;
    return true;
}

/* Over what the VALID mark vouches for: the header up to here, identity, package. Their order counts. */
static uint32_t checksum(const uint8_t *header, const uint8_t *slot, uint32_t size)
{
    return crc32c(header, CHECKSUM) + 3 * crc32c(slot + IDENTITY_AT, IDENTITY_BYTES) +
           5 * crc32c(slot + PACKAGE_AT, size);
}

static bool is_valid(const struct slots *slots, uint32_t slot)
{
    const uint8_t *data = base(slots, slot);
    uint32_t size = get_u32(data + SIZE);
    return bytes_equal(data, MAGIC, 4) && size <= PACKAGE_BYTES_MAX && is_marked(data + VALID_AT) &&
           get_u32(data + CHECKSUM) == checksum(data, data, size);
}

static bool is_confirmed(const struct slots *slots, uint32_t slot)
{
    return is_marked(base(slots, slot) + CONFIRMED_AT);
}

/* Whether the trial of a valid slot was not cut short by a restart. Words that lost power while they
 * were written may read as anything (hal_forgive): a torn mark is then none, and not erased either. */
static bool is_usable(const struct slots *slots, uint32_t slot)
{
    return is_confirmed(slots, slot) || is_erased(base(slots, slot) + STARTED_AT);
}

static uint32_t newer(const struct slots *slots, uint32_t than, uint32_t slot)
{
    return than == NO_SLOT || field(slots, slot, GENERATION) > field(slots, than, GENERATION) ? slot : than;
}

bool slots_identity(const struct slots *slots, struct identity *out)
{
    if (slots->active == NO_SLOT)
        return false;
    out->seed = base(slots, slots->active) + IDENTITY_AT;
    out->mesh = out->seed + 32;
    out->authority = out->mesh + 32;
    return true;
}

const uint8_t *slots_package(const struct slots *slots, uint32_t *size)
{
    *size = slots->active == NO_SLOT ? 0 : field(slots, slots->active, SIZE);
    return *size ? base(slots, slots->active) + PACKAGE_AT : 0;
}

/* -- counters ----------------------------------------------------------------------------------- */

static uint32_t highest_in(const struct slots *slots, uint32_t slot)
{
    uint32_t highest = field(slots, slot, COUNTER);
    for (uint32_t i = 0; i < NOTES; i++) {
        const uint8_t *unit = base(slots, slot) + NOTES_AT + FLASH_UNIT * i;
        if (is_marked(unit) && get_u32(unit + 4) > highest)
            highest = get_u32(unit + 4);
    }
    return highest;
}


static bool write_header(const struct slots *slots, uint32_t slot, uint32_t generation,
                         uint32_t size, uint32_t counter)
{
    uint8_t unit[FLASH_UNIT];
    bytes_fill(unit, 0xFF, FLASH_UNIT);
    bytes_copy(unit, MAGIC, 4);
    put_u32(unit + GENERATION, generation);
    put_u32(unit + SIZE, size);
    put_u32(unit + COUNTER, counter);
    put_u32(unit + CHECKSUM, checksum(unit, base(slots, slot), size));
    return write_unit(slots, slot, HEADER_AT, unit);
}

static bool write_identity(const struct slots *slots, uint32_t slot, const uint8_t *identity)
{
    bool good = true;
    for (uint32_t i = 0; i < IDENTITY_BYTES && good; i += FLASH_UNIT)
        good = write_unit(slots, slot, IDENTITY_AT + i, identity + i);
    return good;
}

static uint32_t other(const struct slots *slots)
{
    return slots->active == 0 ? 1 : 0;
}

static uint32_t next_generation(const struct slots *slots)
{
    return field(slots, slots->active, GENERATION) + 1;
}

/* Copy the slot in use, which is confirmed, over the other one: the same, but without notes. */
static void refresh(struct slots *slots)
{
    uint32_t from = slots->active, to = other(slots);
    uint32_t size = field(slots, from, SIZE);
    bool good = hal_erase(slots->self, to);
    for (uint32_t at = 0; at < size && good; at += FLASH_UNIT)
        good = slots_fill(slots, at, base(slots, from) + PACKAGE_AT + at);
    good = good && write_identity(slots, to, base(slots, from) + IDENTITY_AT) &&
           write_header(slots, to, next_generation(slots), size, slots->highest) &&
           mark(slots, to, CONFIRMED_AT, 1) && mark(slots, to, VALID_AT, 1);
    if (good)
        slots->active = (uint8_t)to;
}

/* The first unit for a note in the slot in use, NOTES when there is none. */
static uint32_t free_note(const struct slots *slots)
{
    uint32_t i = 0;
    while (i < NOTES && !is_erased(base(slots, slots->active) + NOTES_AT + FLASH_UNIT * i))
        i++;
    return i;
}

static bool note(const struct slots *slots, uint32_t counter)
{
    uint32_t i = free_note(slots);
    return i < NOTES && mark(slots, slots->active, NOTES_AT + FLASH_UNIT * i, counter);
}

/* Keep the counter of a program that was tried in vain, before anything is written over it. Two notes
 * are kept in hand, since the power may fail while one is written, or the list is made anew; that is
 * tried at each start until it is done. Only at start: a program runs from its slot, and refreshing
 * gives that one up. */
static void keep_counter(struct slots *slots)
{
    bool noted = slots->highest <= highest_in(slots, slots->active) || note(slots, slots->highest);
    if (!noted || free_note(slots) + 2 > NOTES)
        refresh(slots);
}

/* -- start -------------------------------------------------------------------------------------- */

void slots_start(struct slots *slots)
{
    hal_forgive(slots->self, true);
    uint32_t newest = NO_SLOT, chosen = NO_SLOT;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (!is_valid(slots, slot))
            continue;
        uint32_t counter = highest_in(slots, slot);
        if (counter > slots->highest)
            slots->highest = counter;
        newest = newer(slots, newest, slot);
        if (is_usable(slots, slot))
            chosen = newer(slots, chosen, slot);
    }
    if (chosen == NO_SLOT)
        chosen = newest; /* a trial cut short, and nothing to go back to */
    slots->active = (uint8_t)chosen;
    slots->fell_back = chosen != newest;
    slots->trial = chosen != NO_SLOT && !is_confirmed(slots, chosen);
    if (slots->trial && is_erased(base(slots, chosen) + STARTED_AT))
        mark(slots, chosen, STARTED_AT, 1);
    if (chosen != NO_SLOT && !slots->trial)
        keep_counter(slots);
    hal_forgive(slots->self, false);
}

/* -- a new program ------------------------------------------------------------------------------ */

bool slots_prepare(struct slots *slots)
{
    return hal_erase(slots->self, other(slots));
}

bool slots_fill(const struct slots *slots, uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    return at + FLASH_UNIT <= PACKAGE_BYTES_MAX && write_unit(slots, other(slots), PACKAGE_AT + at, unit);
}

const uint8_t *slots_filled(const struct slots *slots)
{
    return base(slots, other(slots)) + PACKAGE_AT;
}

bool slots_commit(struct slots *slots, uint32_t size, uint32_t counter)
{
    uint32_t to = other(slots);
    if (!write_identity(slots, to, base(slots, slots->active) + IDENTITY_AT) ||
        !write_header(slots, to, next_generation(slots), size, counter) ||
        !mark(slots, to, VALID_AT, 1) || !is_valid(slots, to))
        return false;
    mark(slots, to, STARTED_AT, 1);
    slots->active = (uint8_t)to;
    slots->highest = counter;
    slots->trial = true;
    return true;
}

bool slots_confirm(struct slots *slots)
{
    if (!mark(slots, slots->active, CONFIRMED_AT, 1))
        return false;
    slots->trial = false;
    return true;
}

bool slots_provision(struct slots *slots, const uint8_t identity[IDENTITY_BYTES])
{
    bool good = hal_erase(slots->self, 0) && write_identity(slots, 0, identity) &&
                write_header(slots, 0, 1, 0, 0) && mark(slots, 0, CONFIRMED_AT, 1) &&
                mark(slots, 0, VALID_AT, 1);
    if (good)
        slots->active = 0;
    return good;
}

bool slots_forget(struct slots *slots)
{
    slots->active = NO_SLOT;
    bool first = hal_erase(slots->self, 0);
    return hal_erase(slots->self, 1) && first;
}
