#ifndef GREET_H
#define GREET_H

/* Print a greeting for `name` on stdout. */
void greet(const char *name);

#endif
