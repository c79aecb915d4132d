/* The demo's program: published answers, worked out again by the library that was just built.
 *
 * It is linked with nothing but that library and runtime.c (no C library of this machine), so what
 * it prints can only come from the objects that the mesh compiled. It exits 0 when every answer is
 * right and 1 otherwise.
 */
#define START "_start"
#include "crt_arch.h"
#include "syscall_arch.h"

#include <bits/syscall.h>
#include <crypt.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

int strcmp(const char *a, const char *b);

static int wrong;

static void say(const char *text)
{
	size_t n = 0;
	while (text[n]) n++;
	__syscall3(__NR_write, 1, (long)text, (long)n);
}

static void report(const char *what, int right)
{
	say(right ? "ok     " : "WRONG  ");
	say(what);
	say("\n");
	wrong += !right;
}

/* Known answers: Drepper's SHA-crypt specification, and the classic DES and MD5 crypt examples. */
static const struct { const char *name, *password, *hash; } hashes[] = {
	{"crypt SHA-512 \"Hello world!\"", "Hello world!",
	 "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJu"
	 "esI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
	{"crypt SHA-256 \"Hello world!\"", "Hello world!",
	 "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
	{"crypt Blowfish \"U*U\"", "U*U",
	 "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
	{"crypt MD5 \"password\"", "password", "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a."},
	{"crypt DES \"rasmuslerdorf\"", "rasmuslerdorf", "rl.3StKT.4T8M"},
};

static uint64_t bits(double x)
{
	union { double value; uint64_t bits; } u = {x};
	return u.bits;
}

static void check_hashes(void)
{
	static struct crypt_data data;
	size_t i;
	for (i = 0; i < sizeof hashes / sizeof *hashes; i++)
		report(hashes[i].name,
		       !strcmp(crypt_r(hashes[i].password, hashes[i].hash, &data), hashes[i].hash));
}

/* To the last bit: 2 to the power 1/2 is the double nearest to the square root of 2, and a fused
 * multiply-add rounds once, so the error of 0.1 * 10 shows. volatile: not at compile time. */
static void check_maths(void)
{
	volatile double half = 0.5, tenth = 0.1, two = 2.0;
	report("pow(2, 0.5) = 1.4142135623730951", bits(pow(two, half)) == 0x3ff6a09e667f3bcdULL);
	report("fma(0.1, 10, -1) = 2 ** -54", bits(fma(tenth, 10.0, -1.0)) == 0x3c90000000000000ULL);
	report("expm1(0.1) = 0.10517091807564763", bits(expm1(tenth)) == 0x3fbaec7b35a00d3aULL);
}

__attribute__((used)) void _start_c(long *stack)
{
	(void)stack;
	check_hashes();
	check_maths();
	say(wrong ? "some answers are wrong\n" : "all answers are right\n");
	__syscall1(__NR_exit_group, wrong != 0);
	for (;;);
}
