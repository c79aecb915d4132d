/* The few things that musl's password hashing and maths need from the rest of a C library, in plain
 * C, so that the demo program is complete without any C library of the machine: memory and string
 * helpers, fabs, and a sprintf that knows %u, %s and %.*s and nothing else.
 *
 * The pointers are volatile so that no compiler turns a loop back into a call of itself.
 */
#include <stdarg.h>
#include <stddef.h>

double fabs(double x)
{
	return __builtin_fabs(x);
}

void *memcpy(void *to, const void *from, size_t n)
{
	volatile char *t = to;
	const char *f = from;
	while (n--) *t++ = *f++;
	return to;
}

void *memset(void *to, int c, size_t n)
{
	volatile char *t = to;
	while (n--) *t++ = (char)c;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a;
	const unsigned char *y = b;
	for (; n; n--, x++, y++)
		if (*x != *y) return *x - *y;
	return 0;
}

size_t strnlen(const char *s, size_t max)
{
	const volatile char *p = s;
	size_t n = 0;
	while (n < max && p[n]) n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; n--, a++, b++);
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, (size_t)-1);
}

unsigned long strtoul(const char *s, char **end, int base)
{
	unsigned long value = 0;
	for (; *s >= '0' && *s <= '9'; s++) value = value * (unsigned long)base + (unsigned long)(*s - '0');
	if (end) *end = (char *)s;
	return value;
}

static char *put_unsigned(char *p, unsigned value)
{
	char digits[10];
	int n = 0;
	do digits[n++] = (char)('0' + value % 10); while (value /= 10);
	while (n) *p++ = digits[--n];
	return p;
}

static char *put_text(char *p, const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	memcpy(p, s, n);
	return p + n;
}

int sprintf(char *out, const char *format, ...)
{
	char *p = out;
	va_list args;
	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			*p++ = *format;
			continue;
		}
		format++;
		if (*format == 'u') {
			p = put_unsigned(p, va_arg(args, unsigned));
		} else if (*format == 's') {
			p = put_text(p, va_arg(args, const char *), (size_t)-1);
		} else { /* %.*s */
			int max = va_arg(args, int);
			p = put_text(p, va_arg(args, const char *), (size_t)max);
			format += 2;
		}
	}
	va_end(args);
	*p = 0;
	return (int)(p - out);
}
