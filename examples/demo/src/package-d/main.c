#include "package_d.h"
#include <stdio.h>

int main(void)
{
    char text[256];
    package_d(text, sizeof text);
    puts(text);
    return 0;
}
