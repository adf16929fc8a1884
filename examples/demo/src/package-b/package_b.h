#ifndef PACKAGE_B_H
#define PACKAGE_B_H

/* Writes what this package is made of. */
void package_b(char *text, unsigned long size);

#endif
