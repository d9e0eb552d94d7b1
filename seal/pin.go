package seal

// PINSource returns the PIN; the caller clears it after use. It is asked at every
// login, so that nothing keeps the PIN in between.
type PINSource func() ([]byte, error)
