/* Linked to a static program of aarch64 as its entry: the kernel seems to have pages of 64 KiB, since AT_PAGESZ (6, elf.h) says so before
 * libc starts. qemu-user -p 65536 then maps in such pages too. */
	.text
	.globl large_pages
large_pages:
	mov	x9, sp
	ldr	x10, [x9], #16
	add	x9, x9, x10, lsl #3
1:	ldr	x10, [x9], #8
	cbnz	x10, 1b
2:	ldr	x10, [x9], #16
	cbz	x10, 3f
	cmp	x10, #6
	b.ne	2b
	mov	x10, #65536
	str	x10, [x9, #-8]
3:	b	_start
