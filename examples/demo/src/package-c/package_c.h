#ifndef PACKAGE_C_H
#define PACKAGE_C_H

/* Writes what this package is made of. */
void package_c(char *text, unsigned long size);

#endif
