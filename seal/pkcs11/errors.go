package pkcs11

import (
	"errors"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/seal"
)

// faults lists the return values whose meaning is certain. All others, and there are
// many (a lost token shows as GENERAL_ERROR, OBJECT_HANDLE_INVALID, ...), climb the
// recovery ladder.
var faults = map[pkcs11.Error]seal.Fault{
	pkcs11.CKR_PIN_INCORRECT:            seal.FaultPIN,
	pkcs11.CKR_PIN_INVALID:              seal.FaultPIN,
	pkcs11.CKR_PIN_LEN_RANGE:            seal.FaultPIN,
	pkcs11.CKR_PIN_EXPIRED:              seal.FaultPIN,
	pkcs11.CKR_PIN_LOCKED:               seal.FaultPIN,
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED: seal.FaultPIN,

	pkcs11.CKR_MECHANISM_INVALID:          seal.FaultCall,
	pkcs11.CKR_MECHANISM_PARAM_INVALID:    seal.FaultCall,
	pkcs11.CKR_ARGUMENTS_BAD:              seal.FaultCall,
	pkcs11.CKR_ATTRIBUTE_TYPE_INVALID:     seal.FaultCall,
	pkcs11.CKR_ATTRIBUTE_VALUE_INVALID:    seal.FaultCall,
	pkcs11.CKR_TEMPLATE_INCONSISTENT:      seal.FaultCall,
	pkcs11.CKR_TEMPLATE_INCOMPLETE:        seal.FaultCall,
	pkcs11.CKR_DOMAIN_PARAMS_INVALID:      seal.FaultCall,
	pkcs11.CKR_CURVE_NOT_SUPPORTED:        seal.FaultCall,
	pkcs11.CKR_KEY_SIZE_RANGE:             seal.FaultCall,
	pkcs11.CKR_KEY_TYPE_INCONSISTENT:      seal.FaultCall,
	pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED: seal.FaultCall,
	pkcs11.CKR_DATA_LEN_RANGE:             seal.FaultCall,
	pkcs11.CKR_DATA_INVALID:               seal.FaultCall,
	pkcs11.CKR_ENCRYPTED_DATA_INVALID:     seal.FaultCall,
	pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE:   seal.FaultCall,
	pkcs11.CKR_FUNCTION_NOT_SUPPORTED:     seal.FaultCall,
	pkcs11.CKR_ACTION_PROHIBITED:          seal.FaultCall,
}

func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &seal.TokenError{Op: op, Err: err}
	var rv pkcs11.Error
	if errors.As(err, &rv) {
		e.Fault = faults[rv]
	}
	return e
}

func is(err error, rv pkcs11.Error) bool {
	var e pkcs11.Error
	return errors.As(err, &e) && e == rv
}
