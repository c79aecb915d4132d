/* A signed program on its way into the slot that is not in use: begin, chunks, commit. What has come
 * stands in flash up to the last whole unit and in `unit` after that; a power cut or a restart in
 * between leaves a slot that does not count. */
#include "bytes.h"
#include "ed25519.h"
#include "leaf.h"
#include "sha512.h"
#include "verifier.h"

enum { CHUNK_BYTES_MAX = 208, TARGET_ID_BYTES = 8, MESH_ID_BYTES = 32 };

static const uint8_t PROGRAM_CONTEXT[20] = "vitte-leaf-program-1";

void package_digest(const uint8_t *package, uint32_t size, uint8_t out[DIGEST_BYTES])
{
    sha512_pair(out, DIGEST_BYTES, package, size, 0, 0);
}

/* -- filling ------------------------------------------------------------------------------------ */

static uint8_t read_back(void *self, uint32_t at)
{
    const struct leaf *leaf = self;
    uint32_t unit = leaf->transfer.lzss.written / FLASH_UNIT;
    return at / FLASH_UNIT == unit ? leaf->transfer.unit[at % FLASH_UNIT]
                                   : slots_filled(&leaf->slots)[at];
}

static void write_on(void *self, uint32_t at, uint8_t byte)
{
    struct leaf *leaf = self;
    struct transfer *transfer = &leaf->transfer;
    transfer->unit[at % FLASH_UNIT] = byte;
    if (at % FLASH_UNIT == FLASH_UNIT - 1 &&
        !slots_fill(&leaf->slots, at - (FLASH_UNIT - 1), transfer->unit))
        transfer->failed = true;
}

uint8_t deploy_begin(struct leaf *leaf, struct cbor_reader *from)
{
    struct transfer *transfer = &leaf->transfer;
    uint32_t size;
    uint32_t bytes = cbor_uint(from, 1, UINT16_MAX);
    uint32_t stored = cbor_uint(from, 1, UINT16_MAX);
    const uint8_t *digest = cbor_bytes(from, DIGEST_BYTES, DIGEST_BYTES, &size);
    if (!cbor_ended(from))
        return ERROR_MALFORMED;
    if (leaf->slots.active == NO_SLOT)
        return ERROR_NOT_PROVISIONED;
    if (bytes > PACKAGE_BYTES_MAX)
        return ERROR_TOO_BIG;
    if (leaf->slots.trial)
        return ERROR_BUSY;
    if (transfer->open && transfer->bytes == bytes && transfer->stored == stored &&
        bytes_equal(transfer->digest, digest, DIGEST_BYTES))
        return ERROR_NONE; /* goes on where it was */
    transfer->open = false;
    if (!slots_prepare(&leaf->slots)) {
        leaf_note(leaf, SYSTEM_FLASH_FAILED, 0);
        return ERROR_FLASH_FAILED;
    }
    bytes_fill((uint8_t *)transfer, 0, sizeof *transfer);
    transfer->open = true;
    transfer->compressed = bytes != stored;
    transfer->bytes = (uint16_t)bytes;
    transfer->stored = (uint16_t)stored;
    bytes_copy(transfer->digest, digest, DIGEST_BYTES);
    bytes_fill(transfer->unit, 0xFF, FLASH_UNIT);
    lzss_start(&transfer->lzss, bytes);
    return ERROR_NONE;
}

uint8_t deploy_chunk(struct leaf *leaf, struct cbor_reader *from)
{
    struct transfer *transfer = &leaf->transfer;
    const struct lzss_window window = {leaf, read_back, write_on};
    uint32_t size;
    uint32_t offset = cbor_uint(from, 0, UINT16_MAX);
    const uint8_t *data = cbor_bytes(from, 1, CHUNK_BYTES_MAX, &size);
    if (!cbor_ended(from))
        return ERROR_MALFORMED;
    if (!transfer->open)
        return ERROR_NO_TRANSFER;
    if (offset != transfer->next || size > (uint32_t)transfer->stored - offset)
        return ERROR_WRONG_OFFSET;
    for (uint32_t i = 0; i < size; i++) {
        if (transfer->compressed)
            lzss_add(&transfer->lzss, &window, data[i]);
        else
            write_on(leaf, transfer->lzss.written++, data[i]);
    }
    transfer->next = (uint16_t)(transfer->next + size);
    if (transfer->failed || transfer->lzss.failed) {
        transfer->open = false;
        return transfer->failed ? ERROR_FLASH_FAILED : ERROR_BAD_STREAM;
    }
    return ERROR_NONE;
}

/* -- checking ----------------------------------------------------------------------------------- */

static bool is_signed(const struct leaf *leaf, const uint8_t *program, uint32_t size,
                      const uint8_t *signature)
{
    struct identity identity;
    uint8_t context[sizeof PROGRAM_CONTEXT + MESH_ID_BYTES];
    if (!slots_identity(&leaf->slots, &identity))
        return false;
    bytes_copy(context, PROGRAM_CONTEXT, sizeof PROGRAM_CONTEXT);
    bytes_copy(context + sizeof PROGRAM_CONTEXT, identity.mesh, MESH_ID_BYTES);
    struct signed_text text = {context, sizeof context, program, size};
    return ed25519_verify(identity.authority, &text, signature);
}

static bool is_for_us(const struct leaf *leaf, const struct program *program)
{
    if (program->target_kind == TARGET_BOARD)
        return program->target_board == hal_board(leaf->self);
    return program->target_kind != TARGET_ONE ||
           bytes_equal(program->target_id, leaf->key, TARGET_ID_BYTES);
}

APART static bool board_has(const void *board, const struct resource *resource)
{
    const struct leaf *leaf = board;
    return hal_has(leaf->self, resource);
}

uint8_t package_check(const struct leaf *leaf, const uint8_t *package, uint32_t size,
                      struct program *out, uint8_t detail[3])
{
    struct cbor_reader from = cbor_reading(package, size);
    uint32_t program_size, signature_size;
    cbor_array(&from, 2, 2);
    const uint8_t *program = cbor_bytes(&from, 1, PROGRAM_BYTES_MAX, &program_size);
    const uint8_t *signature = cbor_bytes(&from, SIGNATURE_BYTES, SIGNATURE_BYTES, &signature_size);
    if (!cbor_ended(&from) || !is_signed(leaf, program, program_size, signature))
        return ERROR_BAD_SIGNATURE;
    struct verdict verdict = {FLAW_FORM, -1, -1};
    if (program_read(out, program, program_size)) {
        if (!is_for_us(leaf, out))
            return ERROR_WRONG_TARGET;
        verdict = program_verify(out, board_has, leaf);
    }
    detail[0] = verdict.flaw;
    detail[1] = (uint8_t)(verdict.rule + 1);
    detail[2] = (uint8_t)(verdict.instruction + 1);
    return verdict.flaw ? ERROR_BAD_PROGRAM : ERROR_NONE;
}

uint8_t deploy_commit(struct leaf *leaf, uint8_t detail[3])
{
    struct transfer *transfer = &leaf->transfer;
    struct program program;
    uint8_t digest[DIGEST_BYTES];
    uint32_t tail = transfer->bytes % FLASH_UNIT;
    if (!transfer->open)
        return ERROR_NO_TRANSFER;
    if (transfer->next != transfer->stored)
        return ERROR_WRONG_OFFSET;
    transfer->open = false;
    if (transfer->lzss.written != transfer->bytes || transfer->lzss.in_copy)
        return ERROR_BAD_STREAM;
    bytes_fill(transfer->unit + tail, 0xFF, FLASH_UNIT - tail);
    if (tail && !slots_fill(&leaf->slots, transfer->bytes - tail, transfer->unit))
        return ERROR_FLASH_FAILED;
    const uint8_t *package = slots_filled(&leaf->slots);
    package_digest(package, transfer->bytes, digest);
    if (!bytes_equal(digest, transfer->digest, DIGEST_BYTES))
        return ERROR_WRONG_DIGEST;
    uint8_t error = package_check(leaf, package, transfer->bytes, &program, detail);
    bool is_read = error == ERROR_NONE || (error == ERROR_BAD_PROGRAM && detail[0] != FLAW_FORM);
    if (is_read && program.counter <= leaf->slots.highest)
        return ERROR_OLD_COUNTER;
    if (error)
        return error;
    if (!slots_commit(&leaf->slots, transfer->bytes, program.counter)) {
        leaf_note(leaf, SYSTEM_FLASH_FAILED, 1);
        return ERROR_FLASH_FAILED;
    }
    engine_run(leaf, &program);
    return ERROR_NONE;
}
