/* What each request does and answers (firmware/link.cddl). An answer is an array whose length
 * depends on the outcome, so every branch writes its own head. */
#include "bytes.h"
#include "ed25519.h"
#include "leaf.h"
#include "sha512.h"

enum request {
    REQUEST_PROVE = 1,
    REQUEST_STATUS,
    REQUEST_BEGIN,
    REQUEST_CHUNK,
    REQUEST_COMMIT,
    REQUEST_CONFIRM,
    REQUEST_WRITE_INPUT,
    REQUEST_PROVISION,
    REQUEST_RESTART,
    REQUEST_RULES,
};

enum { PROOF_NONCE_BYTES = 16, PROOF_TEXT_MAX = 160 };

static const uint8_t PROOF_CONTEXT[18] = "vitte-leaf-proof-1";

static void answer_head(const struct leaf *leaf, struct cbor_writer *to, uint8_t error, uint32_t results)
{
    cbor_put_array(to, 2 + results);
    cbor_put_uint(to, leaf->session.last_id);
    cbor_put_uint(to, error);
}

static void plain(const struct leaf *leaf, struct cbor_writer *to, uint8_t error)
{
    answer_head(leaf, to, error, 0);
}

static uint32_t running_counter(const struct leaf *leaf)
{
    return leaf->engine.running ? leaf->engine.program.counter : 0;
}

/* The answer holds what is signed, behind two nonces; so it is written first and signed then. */
static void prove(struct leaf *leaf, struct cbor_reader *from, struct cbor_writer *to)
{
    struct identity identity;
    uint8_t digest[DIGEST_BYTES], chain[HEAD_BYTES];
    uint8_t text[PROOF_TEXT_MAX], signature[SIGNATURE_BYTES];
    uint32_t size;
    const uint8_t *nonce = cbor_bytes(from, PROOF_NONCE_BYTES, PROOF_NONCE_BYTES, &size);
    if (!cbor_ended(from) || !slots_identity(&leaf->slots, &identity)) {
        plain(leaf, to, cbor_failed(from) ? ERROR_MALFORMED : ERROR_NOT_PROVISIONED);
        return;
    }
    answer_head(leaf, to, ERROR_NONE, 6);
    const uint8_t *facts = to->at;
    hal_firmware_digest(leaf->self, digest);
    cbor_put_bytes(to, digest, DIGEST_BYTES);
    bytes_fill(digest, 0, DIGEST_BYTES);
    const uint8_t *package = slots_package(&leaf->slots, &size);
    if (leaf->engine.running)
        package_digest(package, size, digest);
    cbor_put_bytes(to, digest, DIGEST_BYTES);
    cbor_put_uint(to, running_counter(leaf));
    cbor_put_uint(to, leaf->events.first + leaf->events.count);
    events_head(&leaf->events, chain);
    cbor_put_bytes(to, chain, HEAD_BYTES);
    struct cbor_writer signing = cbor_writing(text, sizeof text);
    cbor_put_array(&signing, 7);
    cbor_put_bytes(&signing, nonce, PROOF_NONCE_BYTES);
    cbor_put_bytes(&signing, leaf->boot_nonce, BOOT_NONCE_BYTES);
    size = (uint32_t)(to->at - facts);
    bytes_copy(signing.at, facts, size); /* there is room: both are of bounded size */
    struct signed_text signed_text = {PROOF_CONTEXT, sizeof PROOF_CONTEXT, text,
                                      (uint32_t)(signing.at - text) + size};
    ed25519_sign(identity.seed, leaf->key, &signed_text, signature);
    cbor_put_bytes(to, signature, SIGNATURE_BYTES);
}

static void status(const struct leaf *leaf, struct cbor_writer *to)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < RULES_MAX; i++)
        runs += leaf->engine.runs[i];
    const uint32_t values[15] = {
        hal_now_ms(leaf->self),
        hal_flash_bytes(leaf->self),
        hal_ram_bytes(leaf->self),
        hal_stack_bytes(leaf->self),
        leaf->engine.running ? leaf->slots.active + 1u : 0,
        leaf->slots.trial,
        running_counter(leaf),
        runs,
        leaf->engine.failures,
        leaf->receiver.errors,
        hal_overruns(leaf->self),
        leaf->events.lost,
        leaf->events.count,
        hal_reset_cause(leaf->self),
        leaf->firmware_error,
    };
    answer_head(leaf, to, ERROR_NONE, 15);
    for (uint32_t i = 0; i < 15; i++)
        cbor_put_uint(to, values[i]);
}

static void rules(const struct leaf *leaf, struct cbor_writer *to)
{
    const struct program *program = &leaf->engine.program;
    uint32_t count = leaf->engine.running ? program->rule_count : 0;
    answer_head(leaf, to, ERROR_NONE, 1);
    cbor_put_array(to, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *rule = &program->rules[i];
        cbor_put_array(to, 4);
        cbor_put_uint(to, rule->trigger.kind);
        cbor_put_uint(to, rule->worst);
        cbor_put_uint(to, leaf->engine.runs[i]);
        cbor_put_array(to, rule->slot_count);
        for (uint32_t j = 0; j < rule->slot_count; j++)
            cbor_put_int(to, rule->slots[j]);
    }
}

/* The device key is made of the host's randomness and our own: one of them being good is enough. */
static void make_seed(struct leaf *leaf, const uint8_t *entropy, uint8_t seed[KEY_SIZE])
{
    uint8_t own[KEY_SIZE];
    hal_random(leaf->self, own, KEY_SIZE);
    sha512_pair(seed, KEY_SIZE, own, KEY_SIZE, entropy, KEY_SIZE);
}

static void provision(struct leaf *leaf, struct cbor_reader *from, struct cbor_writer *to)
{
    uint8_t identity[IDENTITY_BYTES];
    uint32_t size;
    const uint8_t *mesh = cbor_bytes(from, KEY_SIZE, KEY_SIZE, &size);
    const uint8_t *authority = cbor_bytes(from, KEY_SIZE, KEY_SIZE, &size);
    const uint8_t *entropy = cbor_bytes(from, KEY_SIZE, KEY_SIZE, &size);
    if (!cbor_ended(from) || leaf->slots.active != NO_SLOT) {
        plain(leaf, to, leaf->slots.active == NO_SLOT ? ERROR_MALFORMED : ERROR_PROVISIONED);
        return;
    }
    make_seed(leaf, entropy, identity);
    bytes_copy(identity + KEY_SIZE, mesh, KEY_SIZE);
    bytes_copy(identity + 2 * KEY_SIZE, authority, KEY_SIZE);
    if (!slots_provision(&leaf->slots, identity)) {
        plain(leaf, to, ERROR_FLASH_FAILED);
        return;
    }
    ed25519_public(identity, leaf->key);
    answer_head(leaf, to, ERROR_NONE, 1);
    cbor_put_bytes(to, leaf->key, KEY_SIZE);
}

static void commit(struct leaf *leaf, struct cbor_writer *to)
{
    uint8_t detail[3] = {0};
    uint8_t error = deploy_commit(leaf, detail);
    answer_head(leaf, to, error, error == ERROR_BAD_PROGRAM ? 3 : error == ERROR_NONE ? 1 : 0);
    if (error == ERROR_NONE)
        cbor_put_uint(to, leaf->engine.program.counter);
    for (uint32_t i = 0; i < 3 && error == ERROR_BAD_PROGRAM; i++)
        cbor_put_uint(to, detail[i]);
}

static uint8_t confirm(struct leaf *leaf, struct cbor_reader *from)
{
    uint32_t counter = cbor_uint(from, 0, UINT32_MAX);
    if (!cbor_ended(from))
        return ERROR_MALFORMED;
    if (!leaf->engine.running || leaf->engine.program.counter != counter)
        return ERROR_NOT_ON_TRIAL;
    if (!leaf->slots.trial) /* an earlier confirm whose answer was lost */
        return ERROR_NONE;
    if (!slots_confirm(&leaf->slots))
        return ERROR_FLASH_FAILED;
    leaf_note(leaf, SYSTEM_CONFIRMED, (int32_t)counter);
    return ERROR_NONE;
}

/* begin and chunk answer with the offset to go on from, also when it is not the one that came. */
static void next(const struct leaf *leaf, struct cbor_writer *to, uint8_t error)
{
    bool told = error == ERROR_NONE || error == ERROR_WRONG_OFFSET;
    answer_head(leaf, to, error, told);
    if (told)
        cbor_put_uint(to, leaf->transfer.next);
}

/* Items of each request, its id and op included. */
static const uint8_t ITEMS[] = {
    [REQUEST_PROVE] = 3,   [REQUEST_STATUS] = 2,      [REQUEST_BEGIN] = 5,     [REQUEST_CHUNK] = 4,
    [REQUEST_COMMIT] = 2,  [REQUEST_CONFIRM] = 3,     [REQUEST_WRITE_INPUT] = 6,
    [REQUEST_PROVISION] = 5, [REQUEST_RESTART] = 2,   [REQUEST_RULES] = 2,
};

/* Whether the array is as long as the request needs; the rest of its form is checked by who reads. */
static bool is_formed(const struct cbor_reader *from, uint32_t op, uint32_t items)
{
    return !cbor_failed(from) && items == ITEMS[op] && (items > 2 || cbor_ended(from));
}

void request_answer(struct leaf *leaf, struct cbor_reader *from, uint32_t items,
                    struct cbor_writer *to)
{
    uint32_t op = cbor_uint(from, 0, UINT8_MAX);
    if (op >= REQUEST_PROVE && op < sizeof ITEMS && !is_formed(from, op, items)) {
        plain(leaf, to, ERROR_MALFORMED);
        return;
    }
    switch (op) {
    case REQUEST_PROVE: prove(leaf, from, to); break;
    case REQUEST_STATUS: status(leaf, to); break;
    case REQUEST_BEGIN: next(leaf, to, deploy_begin(leaf, from)); break;
    case REQUEST_CHUNK: next(leaf, to, deploy_chunk(leaf, from)); break;
    case REQUEST_COMMIT: commit(leaf, to); break;
    case REQUEST_CONFIRM: plain(leaf, to, confirm(leaf, from)); break;
    case REQUEST_WRITE_INPUT: plain(leaf, to, engine_input(leaf, from)); break;
    case REQUEST_PROVISION: provision(leaf, from, to); break;
    case REQUEST_RESTART:
        leaf->session.restart = true; /* once the answer is out */
        plain(leaf, to, ERROR_NONE);
        break;
    case REQUEST_RULES: rules(leaf, to); break;
    default: plain(leaf, to, ERROR_UNKNOWN_OP); break;
    }
}
