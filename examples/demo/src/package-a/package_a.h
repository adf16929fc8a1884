#ifndef PACKAGE_A_H
#define PACKAGE_A_H

/* Writes what this package is made of. */
void package_a(char *text, unsigned long size);

#endif
