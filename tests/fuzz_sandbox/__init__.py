"""Damaged recordings and hostile connections, for as long as asked: nothing crashes, hangs or costs others anything."""
