#ifndef PACKAGE_D_H
#define PACKAGE_D_H

/* Writes what this package is made of. */
void package_d(char *text, unsigned long size);

#endif
